-- Les inscriptions pédagogiques (IP) de l'année, toutes : le statut dit lesquelles donnent accès à l'espace.
-- Résultat : annee, code_etudiant, code, etape, version, statut, ia_payee (0 ou 1).
--   statut : annulee (pas d'inscription administrative en cours dans l'étape), prise_en_compte (résultat antérieur conservé :
--   l'étudiant ne suit pas l'élément), dispense, active. Seul « active » inscrit dans Moodle.
-- À adapter :
--   - si une inscription administrative impayée ne donne pas accès : ajoutez AND ETA_PMT_IAE = 'P' à la première
--     condition de iae (en_cours) ;
--   - l'inscription d'un élément porté vaut pour l'espace du porteur : c'est fait ailleurs (porteur.sql), pas ici.
SELECT ice.COD_ANU AS annee,
       ind.COD_ETU AS code_etudiant,
       ice.COD_ELP AS code,
       ice.COD_ETP AS etape,
       ice.COD_VRS_VET AS version,
       CASE WHEN iae.en_cours IS NULL OR iae.en_cours = 0 THEN 'annulee'
            WHEN ice.TEM_PRC_ICE = 'O' THEN 'prise_en_compte'
            WHEN ide.COD_ELP IS NOT NULL THEN 'dispense'
            ELSE 'active' END AS statut,
       COALESCE(iae.payee, 0) AS ia_payee
FROM IND_CONTRAT_ELP ice
JOIN INDIVIDU ind ON ind.COD_IND = ice.COD_IND
LEFT JOIN (SELECT COD_IND, COD_ETP, COD_VRS_VET,
                  MAX(CASE WHEN ETA_IAE = 'E' THEN 1 ELSE 0 END) AS en_cours,
                  MAX(CASE WHEN ETA_IAE = 'E' AND ETA_PMT_IAE = 'P' THEN 1 ELSE 0 END) AS payee
           FROM INS_ADM_ETP
           WHERE COD_ANU = :annee
           GROUP BY COD_IND, COD_ETP, COD_VRS_VET) iae
       ON iae.COD_IND = ice.COD_IND AND iae.COD_ETP = ice.COD_ETP AND iae.COD_VRS_VET = ice.COD_VRS_VET
LEFT JOIN (SELECT DISTINCT COD_IND, COD_ETP, COD_VRS_VET, COD_ELP
           FROM IND_DISPENSE_ELP
           WHERE COD_ANU = :annee) ide
       ON ide.COD_IND = ice.COD_IND AND ide.COD_ETP = ice.COD_ETP AND ide.COD_VRS_VET = ice.COD_VRS_VET
      AND ide.COD_ELP = ice.COD_ELP
WHERE ice.COD_ANU = :annee
  AND ind.COD_ETU IS NOT NULL
