"""
# Transition annuelle : {label}

Cette chaîne fait passer **{label}** (`{site}`) d'une année universitaire à la suivante : les traces des étudiants
sortants sont sauvegardées, exportées puis déplacées hors de Moodle, les espaces disparus de la maquette sont archivés,
et les étudiants de la nouvelle année sont inscrits d'après Apogée.

## Ce qu'elle change

Dans les espaces que le plan décide de réinitialiser ou d'archiver, et nulle part ailleurs :

- les traces des étudiants (devoirs, tentatives, messages, notes, achèvements, journaux…) passent dans le schéma
  d'archive `{name}_<année>`, après une sauvegarde vérifiée et l'export du carnet de notes ;
- les espaces absents de la maquette reçoivent le préfixe `ex_` et rejoignent la catégorie « Archives » de l'année,
  ouverts à leurs enseignants ; ceux dont le code revient dans la maquette en sortent ;
- les étudiants de l'an dernier sont désinscrits, ceux de la nouvelle année sont inscrits ; les groupes restent, vidés
  de leurs membres, et ceux qu'Apogée connaît sont remplis de nouveau.

De `approval.maintenance_on` à `maintenance_off`, Moodle est en maintenance ; même après un échec, il
redevient ce qu'il était.

## Ce qu'elle ne change jamais

- les activités, ressources, réglages, banques de questions, groupes et badges obtenus ;
- les enseignants : ni leurs inscriptions, ni leurs contenus (sauf forums, pads et tchats, que la politique vide) ;
- les espaces complémentaires, ceux à calendrier décalé, ceux que le plan laisse en attente d'une décision ;
- rien dans Moodle en exécution à blanc (`dry_run`, coché par défaut) : elle sauvegarde, exporte les notes et s'arrête
  au plan.

## Lancer

« Déclencher » ouvre le formulaire. D'abord à blanc, pour lire le plan (journal de la tâche `plan`) ; puis `dry_run`
décoché : la chaîne attend à `approval.decide` qu'une personne approuve le plan (« Actions requises »). Par l'API :

```json
{"year": 2026, "dry_run": true, "courses": ["LI3INF01", "LI3INF02"]}
```

`courses` vide : tous les espaces. Un plan qui dépasse un seuil de la plateforme (part ou nombre d'espaces archivés,
d'étudiants désinscrits, de lignes déplacées) le dit en tête et s'arrête aussi à `approval.exceed` : une seconde
personne doit l'approuver. L'exécution programmée (chaque année en août) n'est jamais à blanc et attend, elle
aussi, l'approbation. Une date manquée de plus de 24 heures n'est jamais rattrapée.

## Arrêter

Avant l'approbation : refusez le plan, rien n'est écrit. Après : marquez l'exécution « Échoué » ; Moodle est rouvert, et
elle finit en rouge. Ne mettez pas le DAG en pause : rien ne rouvrirait Moodle. Chaque déplacement est une suite de
petites transactions : un arrêt, même brutal, ne perd rien et ne répète rien. Si Airflow lui-même est tué, Moodle reste
en maintenance : « Réinitialiser » sur `maintenance_off` le rouvre.

## Reprendre

Corrigez ce que dit la tâche en rouge, puis « Réinitialiser » sur elle, avec « En aval », mais sans « Réinitialiser
uniquement les tâches échouées », qui laisserait Moodle ouvert. Relancer ce qui est déjà fait ne change rien.

## Annuler

Rien n'est détruit : lignes déplacées dans `{name}_<année>`, sauvegarde et exports dans `{storage}/{name}/<année>`. Un
espace revient par son code Apogée : voir le guide d'exploitation.
"""

from datetime import UTC, datetime

from airflow.sdk import DAG, Param

from transition.platforms import platform_names
from transition_airflow.chain import transition_chain
from transition_airflow.platform_dag import CODE, platform_file


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
            description="Coché : sauvegarde, calcule et affiche le plan, ne change rien dans Moodle. Décoché : exécute,"
            " après approbation.",
        ),
        "courses": Param(
            [],
            type=["null", "array"],
            items={"type": "string", "pattern": CODE},
            uniqueItems=True,
            title="Espaces",
            description="Codes Apogée des espaces à traiter, un par ligne. Vide : tous les espaces de la plateforme.",
        ),
    }


def build(name: str) -> DAG:
    """The chain of a platform."""
    file = platform_file(name, lambda platform: platform.dates.transition)
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
        transition_chain(name)
    return dag


for platform_name in platform_names():
    build(platform_name)
