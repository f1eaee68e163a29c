-- Les groupes de l'année rattachés à un élément. Résultat : annee, code_groupe, code, libelle, type.
-- Facultatif : sans ce fichier (et sans groupe_membre.sql), aucun groupe n'est lu.
-- À adapter : code_groupe, si l'établissement préfère COD_EXT_GPE (il doit alors être unique dans l'année).
SELECT :annee AS annee,
       gpe.COD_GPE AS code_groupe,
       gpo.COD_ELP AS code,
       gpe.LIB_GPE AS libelle,
       gpe.COD_TGR AS type
FROM GROUPE gpe
JOIN GPE_OBJ gpo ON gpo.COD_GPE = gpe.COD_GPE
WHERE gpo.TYP_OBJ_GPO = 'ELP'
  AND (gpe.DAA_DEB_VAL_GPE IS NULL OR gpe.DAA_DEB_VAL_GPE <= :annee)
  AND (gpe.DAA_FIN_VAL_GPE IS NULL OR gpe.DAA_FIN_VAL_GPE >= :annee)
