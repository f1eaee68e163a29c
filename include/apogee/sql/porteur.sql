-- L'élément porteur de chaque élément porté de l'année : les étudiants du porté suivent l'espace du porteur.
-- Résultat : code, code_porteur. Un élément n'a qu'un porteur.
-- À adapter : sans enseignement mutualisé, ajoutez « WHERE 1 = 0 ».
SELECT COD_ELP_PORTE AS code,
       COD_ELP_PORTEUR AS code_porteur
FROM ELP_PORTEUR_PORTE
WHERE COD_ANU = :annee
