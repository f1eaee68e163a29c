"""
# Restauration d'un espace : {label}

Remet dans Moodle (`{site}`) un espace que la transition annuelle a réinitialisé, exactement comme il était : mêmes
lignes, mêmes identifiants, mêmes fichiers. Les lignes viennent du schéma d'archive `{name}_<année>` tant qu'il existe,
sinon de la sauvegarde, dans `{storage}/{name}/<année>/backup`.

## Lancer

« Déclencher » ouvre le formulaire ; seul le code Apogée est obligatoire. Par l'API :

```json
{"year": 2026, "code": "LI3INF01", "name": true, "enrolments": false, "conflicts": "stop"}
```

- `name` rend à un espace archivé son nom (sans `ex_`), sa catégorie et son rang ;
- `enrolments` rend les inscriptions et les rôles de l'an dernier ; ceux de la nouvelle année restent ;
- `activity` ou `student` limitent la restauration à une activité, ou aux traces d'un étudiant.

## Conflits

Ce qui s'est passé dans l'espace depuis sa réinitialisation peut empêcher le retour de certaines lignes : un redoublant
a déposé un nouveau devoir, une activité a été supprimée, une inscription a changé. Tout est recherché **avant** la
première écriture :

| `conflicts` | effet |
|---|---|
| `stop` | rien n'est écrit, la liste des conflits est dans le journal de la tâche |
| `skip` | ces lignes, et ce qui en dépend, restent dans l'archive, ces inscriptions telles quelles ; le reste revient |
| `scratch` | tout est copié dans le schéma `{name}_<année>_scratch`, Moodle ne change pas |

## Ce qu'elle ne fait pas

Elle ne retire rien de ce que la nouvelle année a écrit. Elle ne vide pas les caches de Moodle : purgez-les ensuite
(`admin/cli/purge_caches.php`).

Pendant les étapes d'une transition qui écrivent, jusqu'à `maintenance_off`, elle refuse de démarrer et dit pourquoi.
Avant le gel, elle n'est pas refusée et, dès qu'elle écrit dans Moodle, prend la main : la transition doit ensuite
repartir de `preflight`.

## Arrêter, reprendre

Un arrêt, même brutal, ne perd rien : relancez. Restaurer deux fois ne change rien. Un espace restauré en entier peut
être réinitialisé de nouveau par une transition de la même année ; restauré en partie, non.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param

from transition.platforms import platform_names
from transition_airflow.platform_dag import latest_campaign, platform_file
from transition_airflow.restore import RestoreOperator


def form() -> dict[str, Param]:
    """The form of « Trigger », with the checks that Airflow applies to it."""
    return {
        "code": Param(
            type="string", minLength=1, maxLength=100, title="Code",
            description="Code Apogée de l'espace (numéro d'identification du cours).",
        ),
        "year": Param(
            latest_campaign(datetime.now(UTC)), type="integer", minimum=2020, maximum=2100, title="Année",
            description="Année de la transition qui l'a réinitialisé : 2026 pour le passage à 2026-2027.",
        ),
        "name": Param(
            False, type="boolean", title="Nom et catégorie",
            description="Rendre à un espace archivé son nom, sa catégorie et son rang d'avant ex_.",
        ),
        "enrolments": Param(
            False, type="boolean", title="Inscriptions",
            description="Rendre aussi les inscriptions et les rôles de l'an dernier ; les nouveaux restent.",
        ),
        "conflicts": Param(
            "stop", type="string", enum=["stop", "skip", "scratch"], title="Conflits",
            description="stop : ne rien écrire ; skip : laisser ces lignes de côté ; scratch : un schéma d'essai.",
        ),
        "activity": Param(
            None, type=["null", "string"], maxLength=255, title="Activité",
            description="Une seule activité : son numéro (id dans l'adresse de sa page) ou son nom. Vide : toutes.",
        ),
        "student": Param(
            None, type=["null", "string"], maxLength=100, title="Étudiant",
            description="Un seul étudiant : son identifiant de connexion. Vide : tous.",
        ),
    }  # fmt: skip


def build(name: str) -> DAG:
    """The restore of a platform: one task, started by a person."""
    with DAG(
        dag_id=f"restore_course_{name}",
        description="Remet un espace réinitialisé comme il était, par son code",
        schedule=None,
        catchup=False,
        max_active_runs=1,
        params=form(),
        tags=["restore", name],
        doc_md=platform_file(name).page(__doc__ or ""),
    ) as dag:
        RestoreOperator(task_id="restore", platform=name, execution_timeout=timedelta(hours=6))
    return dag


for platform_name in platform_names():
    build(platform_name)
