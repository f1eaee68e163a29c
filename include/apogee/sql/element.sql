-- Tous les éléments pédagogiques, de la maquette ou non : ceux que racine.sql et lien.sql atteignent en font partie.
-- Résultat : code, libelle, nature, periode, composante, etat (ouvert, ferme, suspendu), fictif (0 ou 1).
-- À adapter : la règle qui reconnaît un élément technique (fictif), si la nature ne suffit pas.
-- Ne filtrez pas les éléments ici : un élément que lien.sql cite et qui manque ici fait refuser l'extraction.
SELECT elp.COD_ELP AS code,
       elp.LIB_ELP AS libelle,
       elp.COD_NEL AS nature,
       elp.COD_PEL AS periode,
       elp.COD_CMP AS composante,
       CASE WHEN elp.TEM_SUS_ELP = 'O' THEN 'suspendu' WHEN elp.ETA_ELP = 'O' THEN 'ouvert' ELSE 'ferme' END AS etat,
       CASE WHEN nel.TEM_FICTIF = 'O' THEN 1 ELSE 0 END AS fictif
FROM ELEMENT_PEDAGOGI elp
LEFT JOIN NATURE_ELP nel ON nel.COD_NEL = elp.COD_NEL
