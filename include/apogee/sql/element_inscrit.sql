-- Les éléments qui ont eu au moins un inscrit dans l'année. Lue pour l'année précédente seulement : sa maquette a pu être
-- modifiée depuis, ses inscriptions disent ce qu'elle contenait. Résultat : code.
-- À adapter : rien, en principe.
SELECT DISTINCT COD_ELP AS code
FROM IND_CONTRAT_ELP
WHERE COD_ANU = :annee
