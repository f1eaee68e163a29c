"""
# Espaces à calendrier décalé : {label}

Chaque nuit, cette chaîne cherche les espaces de **{label}** (`{site}`) dont la propre date est venue, et leur fait
passer l'année par **la même chaîne que la transition annuelle** : sauvegarde, export des notes, Apogée, décision, plan,
approbation, purge, inscriptions, vérification, rapport.

## Quels espaces, quand

| exception | l'espace est traité ici… |
|---|---|
| fermeture tardive, calendrier décalé | la nuit de sa date `fin`, si une transition de l'année l'a laissé « différé » |
| ouverture précoce | dans les 7 nuits qui précèdent sa date `debut`, si la transition annuelle ne l'a pas déjà fait |
| exclusion | jamais |

L'année est celle de la campagne : un espace de 2026-2027 qui ouvre en janvier 2027 passe à l'année 2026. Si une
fermeture est retirée (DAG `calendar_exceptions_{name}`), l'espace est traité la nuit suivante. Un espace déjà
traité et vérifié ne l'est jamais deux fois.

La première tâche, `due`, dit dans son journal quels espaces sont dus. **Aucun : tout le reste est « Ignoré »** ; rien
n'est fait, ce n'est pas une erreur. De deux années qui en ont, une nuit prend l'une, la nuit suivante l'autre.

## Une nuit en rouge

Un espace dont la date est venue et que la décision laisse « en attente » (caché, code porté deux fois…), ou qui a déjà
ouvert, n'est pas traité : `undecided` échoue chaque nuit en disant pourquoi, tandis que la chaîne traite les autres.
S'il n'y en a pas d'autres, c'est `due` qui échoue. De même pour une année dont la décision est impossible (dépôt non
chargé, exception dont la cible est inconnue) : les autres années continuent. Un espace que vous avez traité à la main,
excluez-le (`calendar_exceptions_{name}`).

## Ce qu'elle change, ce qu'elle ne change jamais

Comme la page de `annual_transition_{name}` le dit, dans ces seuls espaces. Une exclusion ou une fermeture ajoutée après
le plan l'emporte : le plan approuvé est alors périmé. Les étudiants inscrits sont ceux du dépôt d'Apogée du jour.

## Approuver

Comme toute exécution, elle attend à `approval.decide` (sauf `approval: automatic`). **Moodle entier est en
maintenance** dès l'approbation et jusqu'à `maintenance_off` : approuvez à une heure où il peut fermer.

## Lancer

La nuit, à 3 h, si le DAG est actif. « Déclencher » ouvre le formulaire : d'abord à blanc, pour lire le plan. Par
l'API :

```json
{"year": null, "dry_run": true}
```

Elle attend la fin d'une transition annuelle en cours, et refuse de prendre la main sur une exécution inachevée, en
disant laquelle.

## Arrêter, reprendre, annuler

Comme la transition annuelle. Une exécution en échec se reprend par « Réinitialiser » ; à défaut, la nuit suivante
recommence les espaces qui restent.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param

from transition.platforms import platform_names
from transition_airflow.calendars import DueOperator, UndecidedOperator
from transition_airflow.chain import transition_chain
from transition_airflow.platform_dag import platform_file

NIGHTLY = "0 3 * * *"  # in the platform's time zone


def form() -> dict[str, Param]:
    """The form of « Trigger », with the checks that Airflow applies to it."""
    return {
        "year": Param(
            None, type=["null", "integer"], minimum=2020, maximum=2100, title="Année",
            description="Année de la campagne dont les espaces sont dus. Vide : celle dont c'est le tour.",
        ),
        "dry_run": Param(
            True, type="boolean", title="À blanc",
            description="Coché : sauvegarde, calcule et affiche le plan, ne change rien dans Moodle. Décoché : exécute,"
            " après approbation.",
        ),
    }  # fmt: skip


def build(name: str) -> DAG:
    """The chain of a platform, for the spaces that are due."""
    file = platform_file(name, lambda _: NIGHTLY)
    with DAG(
        dag_id=f"deferred_resets_{name}",
        description=f"{file.label} : réinitialise à leur date les espaces à calendrier décalé",
        schedule=file.schedule,
        catchup=False,
        max_active_runs=1,
        max_active_tasks=4,
        params=form(),
        tags=["transition", name],
        doc_md=file.page(__doc__ or ""),
    ) as dag:
        due = DueOperator(task_id="due", platform=name, execution_timeout=timedelta(minutes=30))
        due >> UndecidedOperator(task_id="undecided", due=due.task_id, execution_timeout=timedelta(minutes=5))
        due >> transition_chain(name, subject="la réinitialisation d'espaces à calendrier décalé", chosen_by="due")
    return dag


for platform_name in platform_names():
    build(platform_name)
