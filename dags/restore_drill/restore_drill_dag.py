"""
# Exercice de restauration : {label}

Chaque mois, quelques espaces tirés au sort sont restaurés depuis la sauvegarde (`{storage}/{name}/<année>/backup`) dans
un schéma d'essai, et chacune de leurs lignes est comparée au manifeste : nombre et empreintes. Le schéma est supprimé
ensuite. Rien ne change dans Moodle.

La preuve (espaces, nombres, durées, aucun nom d'étudiant) est dans `{storage}/{name}/<année>/reports`, fichiers
`restore_drill-*.json`, et dans le journal de la campagne. Un espace qui ne reviendrait pas entier met l'exercice en
échec et est nommé.

« Déclencher » ouvre le formulaire : `number` espaces, `seed` pour tirer de nouveau les mêmes, `year` pour une
autre année que la dernière sauvegardée.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param

from transition.platforms import platform_names
from transition_airflow.platform_dag import platform_file
from transition_airflow.restore import DrillOperator

MONTHLY = "0 4 2 * *"  # the 2nd, 04:00, in the platform's time zone


def form() -> dict[str, Param]:
    """The form of « Trigger », with the checks that Airflow applies to it."""
    return {
        "number": Param(
            5, type="integer", minimum=1, maximum=1000, title="Espaces", description="Nombre d'espaces tirés au sort.",
        ),
        "seed": Param(
            None, type=["null", "integer"], minimum=0, title="Tirage",
            description="Le même nombre tire les mêmes espaces. Vide : la date du jour.",
        ),
        "year": Param(
            None, type=["null", "integer"], minimum=2020, maximum=2100, title="Année",
            description="Année de la transition dont la sauvegarde est essayée. Vide : la dernière sauvegardée.",
        ),
    }  # fmt: skip


def build(name: str) -> DAG:
    """The drill of a platform: one task, once a month."""
    file = platform_file(name, lambda _: MONTHLY)
    with DAG(
        dag_id=f"restore_drill_{name}",
        description="Restaure à l'essai des espaces tirés au sort et compare chaque ligne",
        schedule=file.schedule,
        catchup=False,
        max_active_runs=1,
        params=form(),
        tags=["restore", name],
        doc_md=file.page(__doc__ or ""),
    ) as dag:
        DrillOperator(task_id="drill", platform=name, execution_timeout=timedelta(hours=6))
    return dag


for platform_name in platform_names():
    build(platform_name)
