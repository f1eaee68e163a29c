-- Les étudiants qui ont une inscription pédagogique dans l'année.
-- Résultat : code_etudiant, identifiant (le nom d'utilisateur dans Moodle ; vide si le compte n'existe pas encore).
-- À adapter : identifiant. Apogée ne connaît pas l'annuaire ; ici « e » suivi du numéro d'étudiant. CONCAT à deux
--   arguments convient à Oracle comme à MariaDB (« || » non).
SELECT ind.COD_ETU AS code_etudiant,
       CONCAT('e', ind.COD_ETU) AS identifiant
FROM INDIVIDU ind
WHERE ind.COD_ETU IS NOT NULL
  AND EXISTS (SELECT 1 FROM IND_CONTRAT_ELP ice WHERE ice.COD_ANU = :annee AND ice.COD_IND = ind.COD_IND)
