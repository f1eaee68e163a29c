"""
# Conservation et destruction : {label}

Ce que chaque transition laisse (sauvegardes, exports des notes, pads, contenus de fichiers, schéma d'archive) et les
espaces `ex_` ont une durée de conservation, dans le fichier de la plateforme (`retention`, un an par défaut). Chaque
mois, cette chaîne liste ce qui est à l'échéance, attend l'approbation d'une personne, puis supprime ou masque.

## Étapes

| tâche | effet |
|---|---|
| `list_due` | liste ce qui est à l'échéance, et ce qui est conservé et pourquoi ; ne supprime rien |
| `approve` | une personne lit la liste (« Actions requises ») et approuve ou refuse, toujours |
| `expire` | vérifie que rien n'a changé, écrit la preuve, supprime ou masque, vérifie qu'il ne reste rien |

S'il n'y a rien à l'échéance, `approve` et `expire` sont « Ignoré ».

## Ce qui compte

- L'âge part de la fin vérifiée de la campagne de l'année ou, pour les fichiers, de la dernière sauvegarde vérifiée si
  elle est plus récente ; pour un espace `ex_`, de son archivage. Quand l'âge est inconnu, rien n'est supprimé.
- La liste dit « après cela, plus rien ne permet de restaurer l'année N » quand c'est le cas. **C'est irréversible.**
- Un espace `ex_` est masqué (réversible dans Moodle) ou supprimé par Moodle, selon `retention: ex_action`.
- Ne sont jamais supprimés : les rapports (`{storage}/{name}/<année>/reports`) et le journal. Ils contiennent la preuve,
  fichiers `expiry-*` : nombres et empreintes, aucun nom.

## Lancer

« Déclencher » ouvre le formulaire : `dry_run` coché, la chaîne s'arrête à la liste.

## Arrêter, reprendre

« Reject », ou ne rien faire : rien n'est supprimé. Un arrêt, même brutal, se reprend par « Réinitialiser » sur
`expire`. Elle refuse de démarrer pendant une transition, une restauration ou un exercice, et dit pourquoi.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param, chain

from transition.platforms import platform_names
from transition_airflow.expiry import ExpiryApproval, ExpiryOperator
from transition_airflow.platform_dag import platform_file

MONTHLY = "0 5 3 * *"  # the 3rd, 05:00, in the platform's time zone


def form() -> dict[str, Param]:
    """The form of « Trigger », with the checks that Airflow applies to it."""
    return {
        "dry_run": Param(
            True, type="boolean", title="À blanc",
            description="Coché : liste, ne supprime rien. Décoché : supprime ou masque, après approbation.",
        ),
    }  # fmt: skip


def build(name: str) -> DAG:
    """The expiry of a platform: list, approve, delete or hide; once a month."""
    file = platform_file(name, lambda _: MONTHLY)

    def stage(task_id: str) -> ExpiryOperator:
        function = f"transition.expiry.stage:{task_id}"
        return ExpiryOperator(task_id=task_id, platform=name, function=function, execution_timeout=timedelta(hours=12))

    with DAG(
        dag_id=f"archive_expiry_{name}",
        description="Liste ce qui est à l'échéance, attend une approbation, supprime ou masque",
        schedule=file.schedule,
        catchup=False,
        max_active_runs=1,
        params=form(),
        tags=["expiry", name],
        doc_md=file.page(__doc__ or ""),
    ) as dag:
        chain(stage("list_due"), ExpiryApproval(task_id="approve", platform=name), stage("expire"))
    return dag


for platform_name in platform_names():
    build(platform_name)
