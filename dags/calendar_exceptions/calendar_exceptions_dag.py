"""
# Calendriers décalés : {label}

Les ingénieurs pédagogiques indiquent ici les espaces de **{label}** (`{site}`) qui ne suivent pas la transition
annuelle. Rien ne change dans Moodle : ce qui est saisi compte pour la prochaine décision, avec le fichier
`exception_calendrier.csv` du dépôt d'Apogée.

| `type` | date obligatoire | effet |
|---|---|---|
| `ouverture_precoce` | `debut`, avant le 1er septembre | l'espace est réinitialisé avant cette date |
| `fermeture_tardive` | `fin`, à partir du 1er septembre | l'espace ne change pas avant cette date |
| `decale` | `fin`, à partir du 1er septembre | de même ; pour une ouverture en cours d'année, sa veille |
| `exclu` | aucune | l'espace ne change pas de l'année |

`fin` est le jour de la réinitialisation, à 3 h du matin (DAG `deferred_resets_{name}`) : donnez le lendemain du dernier
jour d'accès.

## Lancer

« Déclencher » ouvre le formulaire. Par l'API :

```json
{"action": "add", "year": 2026, "cible_type": "element", "cible": "LI3INF01", "type": "fermeture_tardive",
 "fin": "2026-11-01", "motif": "Seconde session en octobre", "demandeur": "Zoé Lambert"}
```

- `action` : `show` affiche l'année, `add` ajoute une saisie, `import` en ajoute plusieurs, `withdraw` retire la saisie
  numéro `entry` ;
- `cible` : le code d'un élément, d'une étape (`SL3INF` ou `SL3INF_140`), ou le code ou le numéro d'un espace dans
  Moodle. L'exception d'un élément vaut aussi pour l'espace de son porteur, celle d'une étape pour tous ses éléments ;
- `csv` : le contenu d'un fichier de mêmes colonnes qu'`exception_calendrier.csv`, en-tête compris :

```
annee;cible_type;cible;type;debut;fin;motif;demandeur
2026;etape;SL3INF;fermeture_tardive;;2026-11-01;Seconde session en octobre;Zoé Lambert
```

## Ce qui est vérifié

Tout, avant d'enregistrer quoi que ce soit ; chaque refus nomme la ligne, la colonne et la valeur : année, dates
présentes et dans l'ordre, cible connue de Moodle ou d'Apogée, espace pas encore réinitialisé, ni doublon ni
contradiction. Sur une même cible, on peut ajouter une exclusion ou une fin plus tardive : le plus strict l'emporte.
Pour avancer une date, retirez d'abord la saisie.

Une saisie n'est jamais modifiée ni effacée : elle est retirée. Qui a saisi et retiré (votre compte Airflow) et quand
est conservé. Un plan déjà approuvé devient périmé.

## Voir

Le journal de la tâche `calendars` montre les exceptions de l'année et ce que chacune fera. Le motif et le demandeur n'y
sont pas : ils sont dans la table `{name}_transition.calendar_entry`. N'y nommez pas d'étudiant.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param

from transition.platforms import platform_names
from transition_airflow.calendars import CalendarOperator
from transition_airflow.platform_dag import platform_file

OPTIONAL = ["null", "string"]  # an empty field of Airflow's form is null


def form() -> dict[str, Param]:
    """The form of « Trigger », with the checks that Airflow applies to it; the library checks the rest."""

    def choice(default: str, title: str, description: str, **labels: str) -> Param:
        return Param(
            default, type="string", enum=list(labels), values_display=labels, title=title, description=description
        )

    def text(title: str, description: str, **more: Any) -> Param:
        return Param(None, type=OPTIONAL, title=title, description=description, **more)

    return {
        "action": choice(
            "show", "Action", "Ce qu'il faut faire ; « afficher » n'écrit rien.",
            show="afficher l'année", add="ajouter une saisie", withdraw="retirer une saisie",
            **{"import": "ajouter plusieurs saisies (CSV)"},
        ),
        "year": Param(
            datetime.now(UTC).year, type="integer", minimum=2020, maximum=2100, title="Année",
            description="Année de début de l'année universitaire qui s'ouvre : 2026 pour 2026-2027.",
        ),
        "cible_type": choice(
            "element", "Type de cible", "Ajouter : ce que désigne le code.",
            element="élément", etape="étape", cours="espace de cours",
        ),
        "cible": text("Cible", "Ajouter : le code Apogée, ou le numéro de l'espace dans Moodle.", maxLength=100),
        "type": choice(
            "fermeture_tardive", "Type d'exception", "Ajouter : ce qui est demandé.",
            ouverture_precoce="ouverture précoce", fermeture_tardive="fermeture tardive", decale="calendrier décalé",
            exclu="exclusion",
        ),
        "debut": text("Début", "Ajouter : le jour de l'ouverture (ouverture précoce).", format="date"),
        "fin": text("Fin", "Ajouter : le jour de la réinitialisation (fermeture tardive, décalé).", format="date"),
        "motif": text("Motif", "Ajouter : pourquoi, sans nommer d'étudiant.", maxLength=1000),
        "demandeur": text("Demandeur", "Ajouter : qui l'a demandé.", maxLength=255),
        "csv": text(
            "CSV", "Ajouter plusieurs : le contenu du fichier, avec sa ligne d'en-tête.", format="multiline",
        ),
        "entry": Param(
            None, type=["null", "integer"], minimum=1, title="Numéro",
            description="Retirer : le numéro de la saisie, que « afficher » donne.",
        ),
    }  # fmt: skip


def build(name: str) -> DAG:
    """The form of a platform: one task, started by a person."""
    with DAG(
        dag_id=f"calendar_exceptions_{name}",
        description="Ouvertures précoces, fermetures tardives, calendriers décalés, exclusions",
        schedule=None,
        catchup=False,
        max_active_runs=1,
        params=form(),
        tags=["transition", name],
        doc_md=platform_file(name).page(__doc__ or ""),
    ) as dag:
        CalendarOperator(task_id="calendars", platform=name, execution_timeout=timedelta(minutes=30))
    return dag


for platform_name in platform_names():
    build(platform_name)
