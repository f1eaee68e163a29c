-- Les liens entre éléments : un élément, les listes placées sous lui, les éléments de ces listes.
-- Résultat : code_pere, code, obligatoire (0 ou 1). La descente (et sa protection contre les boucles) est faite par le programme.
-- À adapter : rien, en principe.
SELECT erl.COD_ELP AS code_pere,
       lre.COD_ELP AS code,
       CASE WHEN lse.COD_TYP_LSE = 'O' THEN 1 ELSE 0 END AS obligatoire
FROM ELP_REGROUPE_LSE erl
JOIN LISTE_ELP lse ON lse.COD_LSE = erl.COD_LSE
JOIN LSE_REGROUPE_ELP lre ON lre.COD_LSE = lse.COD_LSE
WHERE lse.ETA_LSE = 'O'
  AND (erl.DAT_CRE_REL_LSE_ELP IS NULL OR erl.DAT_CRE_REL_LSE_ELP <= :jour)
  AND (erl.DAT_FRM_REL_LSE_ELP IS NULL OR erl.DAT_FRM_REL_LSE_ELP > :jour)
