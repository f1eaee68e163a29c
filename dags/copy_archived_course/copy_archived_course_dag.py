"""
# Copie d'un espace archivé : {label}

Ajoute le contenu d'un espace `ex_` de Moodle (`{site}`) à l'espace qui lui succède : sections, activités et leurs
réglages, fichiers, questions, groupes vides. Moodle fait le travail, par sa ligne de commande : sauvegarde de l'espace
archivé **sans données d'utilisateurs**, puis restauration dans l'espace d'arrivée.

Ne sont donc pas copiés les comptes, les inscriptions, les rôles et les notes, ni ce que Moodle range parmi les données
d'utilisateurs : messages de forum, articles de glossaire, fiches de base de données, pages de wiki, même écrits par un
enseignant.

## Lancer

« Déclencher » ouvre le formulaire. Par l'API :

```json
{"source": "ex_LI3INF02", "target": "LI3INF07", "confirm_not_empty": false, "again": false}
```

- `source` : l'espace archivé, par son code Apogée, son nom abrégé ou son numéro (`id` dans l'adresse de sa page) ;
- `target` : le code Apogée du nouvel espace ;
- `confirm_not_empty` : ajouter le contenu à un espace qui a déjà des activités. Sans cela, la copie refuse et les
  énumère ; le forum des annonces, que Moodle crée de lui-même, ne compte pas ;
- `again` : copier de nouveau ce qui l'a déjà été.

## Ce qu'il faut

Dans le fichier de la plateforme, `moodle_command` et `exchange` : un dossier où Moodle et Airflow lisent et écrivent.
Et un Moodle dont `restore_backup.php` connaît l'option `--courseid` ; sinon la copie refuse et nomme la version.

## Contrôles

Avant de restaurer : le fichier est celui de cet espace et de ce site, il a toutes ses activités et aucun compte.
Après : les activités de l'espace d'arrivée sont toujours là, celles de la source s'y ajoutent, ses réglages n'ont pas
changé, aucune inscription, aucun rôle, aucune note, aucun membre de groupe, aucun achèvement n'est apparu. Le fichier
est supprimé dans tous les cas, et les réglages de Moodle changés le temps d'une commande sont remis.

## Arrêter, reprendre

Arrêtée avant la restauration, la copie se relance. Arrêtée **pendant**, elle a pu laisser une partie du contenu : elle
ne recommence pas d'elle-même. Regardez l'espace d'arrivée, ôtez ce qui est incomplet, puis relancez avec `again`. Une
copie déjà faite et vérifiée n'est pas refaite. Pendant une transition, une restauration ou une sauvegarde de juillet,
elle refuse de démarrer et dit pourquoi ; une transition qui attend son approbation doit ensuite repartir de
`preflight`.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param

from transition.platforms import platform_names
from transition_airflow.platform_dag import platform_file
from transition_airflow.restore import CopyOperator


def form() -> dict[str, Param]:
    """The form of « Trigger », with the checks that Airflow applies to it."""
    return {
        "source": Param(
            type="string", minLength=1, maxLength=255, title="Espace archivé",
            description="Code Apogée, nom abrégé (ex_…) ou numéro de l'espace dont le contenu est copié.",
        ),
        "target": Param(
            type="string", minLength=1, maxLength=100, title="Espace d'arrivée",
            description="Code Apogée du nouvel espace (numéro d'identification du cours).",
        ),
        "confirm_not_empty": Param(
            False, type="boolean", title="Même s'il n'est pas vide",
            description="Ajouter le contenu à un espace qui a déjà des activités.",
        ),
        "again": Param(
            False, type="boolean", title="De nouveau",
            description="Copier de nouveau ce qui l'a déjà été, ou après une copie interrompue.",
        ),
    }  # fmt: skip


def build(name: str) -> DAG:
    """The copy of a platform: one task, started by a person."""
    with DAG(
        dag_id=f"copy_archived_course_{name}",
        description="Copie le contenu d'un espace ex_ dans le nouvel espace, sans données d'utilisateurs",
        schedule=None,
        catchup=False,
        max_active_runs=1,
        params=form(),
        tags=["restore", name],
        doc_md=platform_file(name).page(__doc__ or ""),
    ) as dag:
        CopyOperator(task_id="copy", platform=name, execution_timeout=timedelta(hours=6))
    return dag


for platform_name in platform_names():
    build(platform_name)
