"""
# Sauvegarde de juillet : {label}

La troisième semaine de juillet, toutes les traces des étudiants de **{label}** (`{site}`) sont copiées hors du serveur,
espace par espace, puis relues. Rien ne change dans Moodle. La transition d'août repart de cette sauvegarde : elle ne
refait que les espaces qui ont changé depuis, et ne touche à aucun espace dont la sauvegarde manque, est altérée ou
vient d'un autre site.

## Ce qu'elle sauvegarde

Tous les espaces, complémentaires et archivés compris, seule la page du site exceptée :

- les lignes que les règles désignent, une table par fichier Parquet, avec un manifeste (nombres, empreintes, version de
  Moodle et des règles), dans `{storage}/{name}/<année>/backup` ;
- le contenu de leurs fichiers, une fois par empreinte, dans `{storage}/{name}/<année>/filedir`, si la plateforme
  déclare `dataroot` (sinon le journal le dit) ;
- la sauvegarde de Moodle lui-même (`.mbz`, avec les données des utilisateurs), ouverte et contrôlée, dans
  `{storage}/{name}/<année>/mbz/<numéro du cours>`, si la plateforme déclare `moodle_command` et `exchange`.

Ni le dépôt d'Apogée ni les décisions ne sont lus.

## Suivre

Une tâche `component` par composante (catégorie de premier niveau de Moodle), à son nom, l'une après l'autre pour
ménager le serveur ; leur journal dit les nombres, le débit et le temps restant. `close` repasse sur tous les espaces.

## Lancer, reprendre

Chaque année le troisième lundi de juillet à 2 h (clé `dates.backup`), si le DAG est actif ; une date manquée n'est
jamais rattrapée : lancez à la main (« Déclencher »). `courses` limite à quelques espaces. Par l'API :

```json
{"year": 2026, "courses": []}
```

Un espace qui échoue n'arrête pas les autres : la tâche de sa composante est en rouge et le nomme. Corrigez la cause,
puis « Réinitialiser » sur cette tâche, avec « En aval » : ce qui est fait n'est pas refait. Un arrêt, même brutal, se
reprend de même. Pendant la copie d'un espace archivé, qui change les réglages des sauvegardes de Moodle, une tâche
échoue et le dit : relancez-la ensuite.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param

from transition.platforms import platform_names
from transition_airflow.july_backup import BackupOperator
from transition_airflow.platform_dag import CODE, platform_file
from transition_airflow.tasks import RETRIES


def form() -> dict[str, Param]:
    """The form of « Trigger », with the checks that Airflow applies to it."""
    return {
        "year": Param(
            datetime.now(UTC).year, type="integer", minimum=2020, maximum=2100, title="Année",
            description="Année de la transition qui suivra : 2026 pour le passage à 2026-2027.",
        ),
        "courses": Param(
            [], type=["null", "array"], items={"type": "string", "pattern": CODE}, uniqueItems=True, title="Espaces",
            description="Codes Apogée des espaces à sauvegarder, un par ligne. Vide : tous ceux de la plateforme.",
        ),
    }  # fmt: skip


def build(name: str) -> DAG:
    """The July backup of a platform: its components, each of them, then all spaces once more."""
    file = platform_file(name, lambda platform: platform.dates.backup)
    with DAG(
        dag_id=f"july_backup_{name}",
        description=f"{file.label} : sauvegarde de tous les espaces, la troisième semaine de juillet",
        schedule=file.schedule,
        catchup=False,
        max_active_runs=1,
        params=form(),
        tags=["backup", name],
        doc_md=file.page(__doc__ or ""),
    ) as dag:
        listed = BackupOperator(
            task_id="components", platform=name, function="transition.backup.components:components",
            execution_timeout=timedelta(hours=1),
        )  # fmt: skip
        component = BackupOperator.partial(
            task_id="component", platform=name, function="transition.backup.components:back_up_component",
            execution_timeout=timedelta(hours=48), map_index_template="{{ task.component['name'] }}",
            max_active_tis_per_dag=1, **RETRIES,
        ).expand(component=listed.output)  # fmt: skip
        # Not run when nothing was backed up: it would find all missing. One component that fails does not keep it.
        close = BackupOperator(
            task_id="close", platform=name, function="transition.backup.components:close_backup",
            execution_timeout=timedelta(hours=48), trigger_rule="all_done_min_one_success",
        )  # fmt: skip
        component >> close
    return dag


for platform_name in platform_names():
    build(platform_name)
