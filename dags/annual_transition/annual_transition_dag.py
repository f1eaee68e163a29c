"""
# Transition annuelle : {label}

Cette chaîne fait passer **{label}** (`{site}`) d'une année universitaire à la suivante : les traces des étudiants
sortants sont sauvegardées, exportées puis déplacées hors de Moodle, les espaces disparus de la maquette sont archivés,
et les étudiants de la nouvelle année sont inscrits d'après Apogée.

## Ce qu'elle change

Dans les espaces que le plan décide de réinitialiser ou d'archiver, et nulle part ailleurs :

- les traces des étudiants (devoirs, tentatives, messages, notes, achèvements, journaux…) passent dans le schéma
  d'archive `{name}_<année>`, après une sauvegarde vérifiée et l'export du carnet de notes ;
- les espaces absents de la maquette reçoivent le préfixe `ex_` et rejoignent la catégorie « Archives », ouverts à leurs
  enseignants ;
- les étudiants de l'an dernier sont désinscrits, ceux de la nouvelle année sont inscrits ; les groupes restent, vides.

De `approval.maintenance_on` à `maintenance_off`, Moodle est en maintenance ; même après un échec, il
redevient ce qu'il était.

## Ce qu'elle ne change jamais

- les activités, ressources, réglages, banques de questions, groupes et badges obtenus ;
- les enseignants : ni leurs inscriptions, ni leurs contenus (sauf forums, pads et tchats, que la politique vide) ;
- les espaces complémentaires, ceux à calendrier décalé, ceux que le plan laisse en attente d'une décision ;
- rien du tout en exécution à blanc (`dry_run`, coché par défaut) : elle s'arrête au plan.

## Lancer

« Trigger » ouvre le formulaire. D'abord à blanc, pour lire le plan (journal de la tâche `plan`) ; puis `dry_run`
décoché : la chaîne attend à `approval.decide` qu'une personne approuve le plan (« Required Actions »). Par l'API :

```json
{"year": 2026, "dry_run": true, "courses": ["LI3INF01", "LI3INF02"]}
```

`courses` vide : tous les espaces. L'exécution programmée (chaque année en août) n'est jamais à blanc et attend, elle
aussi, l'approbation. Une date manquée n'est jamais rattrapée.

## Arrêter

Avant l'approbation : refusez le plan, rien n'est écrit. Après : marquez l'exécution « failed ». Chaque déplacement est
une suite de petites transactions : un arrêt, même brutal, ne perd rien et ne répète rien. Si Airflow lui-même est tué,
Moodle reste en maintenance : l'exécution qui reprend le rouvrira.

## Reprendre

Corrigez ce que dit la tâche en rouge, puis « Clear » sur elle, avec « Downstream ». Relancer ce qui est déjà fait ne
change rien.

## Annuler

Rien n'est détruit : lignes déplacées dans `{name}_<année>`, sauvegarde et exports dans `{storage}/{name}/<année>`. Un
espace revient par son code Apogée : voir le guide d'exploitation.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param, TaskGroup, chain

from transition.files import rules_folder
from transition.platforms import platform_names
from transition_airflow.approval import PlanApproval
from transition_airflow.platform_dag import CODE, platform_file
from transition_airflow.tasks import StageOperator, WatcherOperator

# The enrolment stage moves the rows of this rule itself, together with the roles it writes.
RULE_OF_ENROLMENT = "enrolment"


def form() -> dict[str, Param]:
    """The form of « Trigger », with the checks that Airflow applies to it."""
    return {
        "year": Param(
            datetime.now(UTC).year,
            type="integer",
            minimum=2020,
            maximum=2100,
            title="Année",
            description="Année de début de l'année universitaire qui s'ouvre : 2026 pour 2026-2027.",
        ),
        "dry_run": Param(
            True,
            type="boolean",
            title="À blanc",
            description="Coché : calcule et affiche le plan, n'écrit rien. Décoché : exécute, après approbation.",
        ),
        "courses": Param(
            [],
            type="array",
            items={"type": "string", "pattern": CODE},
            uniqueItems=True,
            title="Espaces",
            description="Codes Apogée des espaces à traiter, un par ligne. Vide : tous les espaces de la plateforme.",
        ),
    }


def build(name: str, rules: list[str]) -> DAG:
    """The chain of a platform."""
    file = platform_file(name, lambda platform: platform.dates.transition)

    def stage(task_id: str, function: str, hours: float, **more: Any) -> StageOperator:
        return StageOperator(
            task_id=task_id, platform=name, function=function, execution_timeout=timedelta(hours=hours), **more
        )

    with DAG(
        dag_id=f"annual_transition_{name}",
        description=f"{file.label} : passage à la nouvelle année universitaire",
        schedule=file.schedule,
        catchup=False,
        max_active_runs=1,
        max_active_tasks=4,
        params=form(),
        tags=["transition", name],
        doc_md=file.page(__doc__ or ""),
    ) as dag:
        with TaskGroup("approval") as approval:
            decide = PlanApproval(task_id="decide", platform=name)
            # Moodle is closed from before the freeze (what is frozen is what moves) until all that follows is checked.
            close = stage("maintenance_on", "transition.maintenance:close", 0.5).as_setup()
            decide >> close >> stage("freeze", "transition.freeze:freeze", 12)
        with TaskGroup("purge") as purge:
            contents = stage("file_contents", "transition.contents:file_contents", 12)
            for rule in rules:
                stage(rule, "transition.purge:purge", 12, arguments=(rule,)) >> contents
        reopen = stage("maintenance_off", "transition.maintenance:reopen", 1).as_teardown(setups=close)
        verify = stage("verify", "transition.verify:verify", 6)
        chain(
            stage("preflight", "transition.preflight:preflight", 0.5),
            stage("july_backup", "transition.backup.stage:july_backup", 12),
            stage("grade_exports", "transition.grades:grade_exports", 6),
            stage("apogee_sync", "transition.apogee.stage:apogee_sync", 2),
            stage("detect_missing", "transition.decisions:detect_missing", 1),
            stage("plan", "transition.plan:plan", 4),
            approval,
            stage("ex_rename", "transition.ex_rename:ex_rename", 1),
            purge,
            stage("enrolment", "transition.enrolment.stage:enrolment", 6),
            verify,
            stage("report", "transition.report.stage:report", 1, trigger_rule="all_done", only_executing=True),
        )
        # Every failure before it reaches `verify` as « upstream failed »: one edge watches the whole chain.
        watcher = WatcherOperator(task_id="watcher")
        verify >> watcher
        verify >> reopen >> watcher
    return dag


def purge_rules() -> list[str]:
    """Names of the rules that the purge applies; an empty group would let the tasks after it start at once."""
    names = sorted(path.stem for path in rules_folder().glob("*.yaml") if path.stem != RULE_OF_ENROLMENT)
    if not names:
        raise FileNotFoundError(f"no rule file in {rules_folder()}")
    return names


for platform_name in platform_names():
    build(platform_name, purge_rules())
