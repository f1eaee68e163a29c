-- Les étudiants des groupes de groupe.sql qui ont une inscription pédagogique dans l'année. Résultat : annee, code_groupe, code_etudiant.
-- À adapter : code_groupe, comme dans groupe.sql, avec les mêmes conditions sur GROUPE et GPE_OBJ.
SELECT DISTINCT iag.COD_ANU AS annee,
       gpe.COD_GPE AS code_groupe,
       ind.COD_ETU AS code_etudiant
FROM IND_AFFECTE_GPE iag
JOIN INDIVIDU ind ON ind.COD_IND = iag.COD_IND
JOIN GROUPE gpe ON gpe.COD_GPE = iag.COD_GPE
JOIN GPE_OBJ gpo ON gpo.COD_GPE = gpe.COD_GPE
WHERE iag.COD_ANU = :annee
  AND ind.COD_ETU IS NOT NULL
  AND EXISTS (SELECT 1 FROM IND_CONTRAT_ELP ice WHERE ice.COD_ANU = :annee AND ice.COD_IND = iag.COD_IND)
  AND gpo.TYP_OBJ_GPO = 'ELP'
  AND (gpe.DAA_DEB_VAL_GPE IS NULL OR gpe.DAA_DEB_VAL_GPE <= :annee)
  AND (gpe.DAA_FIN_VAL_GPE IS NULL OR gpe.DAA_FIN_VAL_GPE >= :annee)
