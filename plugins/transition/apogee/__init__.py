"""Apogée: who is in the curriculum model, who is registered, who teaches, who asked for another calendar.

A feed is read from one of four sources: this folder (:mod:`~transition.apogee.csv_source`), Apogée's own database
(:mod:`~transition.apogee.sql_source`), a REST gateway (:mod:`~transition.apogee.gateway`) or Pégase
(:mod:`~transition.apogee.pegase`). The last three know neither teachers nor calendar exceptions: a second folder brings
them (:mod:`~transition.apogee.second_feed`). All fill the tables described here.

Layout of the folder that the platform's Apogée connection names::

    2026/                        one folder a year: N, and N-1 as the snapshot that tells what left the model
        lot.csv                  manifest, one row
        element.csv
        element_etape.csv        optional (needed by exceptions that aim at an étape)
        etudiant.csv
        inscription.csv
        enseignant_affectation.csv
        exception_calendrier.csv
        groupe.csv               optional, with groupe_membre.csv
        groupe_membre.csv
    2025/                        optional when a lot of 2025 is already loaded; needs lot.csv and element.csv only

Every file is UTF-8 (a byte order mark is accepted), separated by ``;`` and quoted by ``"`` where needed (RFC 4180). Its
first line names the columns; nullable columns may be left out, columns in brackets are known but not loaded:

- ``lot.csv``: lot_id;source;annee;extrait_le;complet;nb_lignes;sha256 — ``extrait_le`` is ISO 8601 with its zone,
  ``complet`` is 1, ``nb_lignes`` and ``sha256`` are JSON objects by table name (``{"element": 120, …}``; rows without
  the header line, and the SHA-256 of the file's bytes), one key for each other file of the folder, neither more nor
  less.
- ``element.csv``: annee;code;libelle;nature;periode;composante;etat;fictif;code_porteur[;modifie_le] — nullable:
  periode, code_porteur. ``etat``: ouvert, ferme, suspendu. A ``code_porteur`` need not be an element of the feed.
- ``element_etape.csv``: annee;code;etape;version;libelle_etape;obligatoire
- ``etudiant.csv``: annee;code_etudiant;identifiant[;nom;prenom;courriel] — ``annee`` may be left out; ``identifiant``
  may be empty (no account yet).
- ``inscription.csv``: annee;code_etudiant;code;etape;version;statut;ia_payee;depuis;jusqu_a — nullable: the last three.
  ``statut``: active, prise_en_compte, dispense, annulee. Every ``code_etudiant`` is in ``etudiant.csv``.
- ``enseignant_affectation.csv``: annee;code;identifiant;role;origine;depuis;jusqu_a — nullable: the last two.
- ``exception_calendrier.csv``: annee;cible_type;cible;type;debut;fin;motif;demandeur — ``cible_type``: element, etape
  (``SL3INF`` or ``SL3INF_140``), cours (the idnumber). ``type``: ouverture_precoce (needs ``debut``, before 1
  September), fermeture_tardive and decale (need ``fin``, 1 September or later: the first day on which the space may be
  reset), exclu. ``annee`` is the campaign's year. A header alone is a valid file.
- ``groupe.csv``: annee;code_groupe;code;libelle;type — nullable: type. One row for each element that the group is for.
- ``groupe_membre.csv``: annee;code_groupe;code_etudiant. Every group is in ``groupe.csv``, every student in
  ``etudiant.csv``.

Years are four digits, dates ISO 8601, booleans 0 or 1. A ``jusqu_a`` after 2100 (9999-12-31) is no end.
Codes are kept byte for byte and compared by :func:`transition.apogee.codes.compare_key`.
"""
