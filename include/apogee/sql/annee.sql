-- Les années universitaires qu'Apogée connaît. Résultat : annee.
-- À adapter : rien, en principe. L'année de la campagne doit s'y trouver, ouverte ou non aux inscriptions.
SELECT COD_ANU AS annee
FROM ANNEE_UNI
