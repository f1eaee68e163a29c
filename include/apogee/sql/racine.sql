-- Les éléments placés directement sous une version d'étape (VET) de l'année.
-- Résultat : etape, version, libelle_etape, code, obligatoire (0 ou 1). Plusieurs lignes pour un même élément sont admises.
-- À adapter :
--   - la fenêtre de la VET : ici le recrutement. Une VET fermée au recrutement mais encore valable pour les redoublants
--     (DAA_FIN_VAL_VET) se compte en remplaçant DAA_FIN_RCT_VET par DAA_FIN_VAL_VET ;
--   - les structures extérieures, écartées par COD_TPC = 'EXT'.
SELECT vet.COD_ETP AS etape,
       vet.COD_VRS_VET AS version,
       COALESCE(vet.LIB_WEB_VET, etp.LIB_ETP) AS libelle_etape,
       lre.COD_ELP AS code,
       CASE WHEN lse.COD_TYP_LSE = 'O' THEN 1 ELSE 0 END AS obligatoire
FROM VERSION_ETAPE vet
JOIN ETAPE etp ON etp.COD_ETP = vet.COD_ETP
JOIN VET_REGROUPE_LSE vrl ON vrl.COD_ETP = vet.COD_ETP AND vrl.COD_VRS_VET = vet.COD_VRS_VET
JOIN LISTE_ELP lse ON lse.COD_LSE = vrl.COD_LSE
JOIN LSE_REGROUPE_ELP lre ON lre.COD_LSE = lse.COD_LSE
LEFT JOIN COMPOSANTE cmp ON cmp.COD_CMP = vet.COD_CMP
WHERE EXISTS (SELECT 1
              FROM VDI_FRACTIONNER_VET vde
              WHERE vde.COD_ETP = vet.COD_ETP
                AND vde.COD_VRS_VET = vet.COD_VRS_VET
                AND vde.DAA_DEB_RCT_VET <= :annee
                AND vde.DAA_FIN_RCT_VET >= :annee)
  AND (cmp.COD_TPC IS NULL OR cmp.COD_TPC <> 'EXT')
  AND lse.ETA_LSE = 'O'
  AND (vrl.DAT_CRE_REL_LSE_VET IS NULL OR vrl.DAT_CRE_REL_LSE_VET <= :jour)
  AND (vrl.DAT_FRM_REL_LSE_VET IS NULL OR vrl.DAT_FRM_REL_LSE_VET > :jour)
