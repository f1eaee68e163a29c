CREATE TABLE mdl_defi (id bigint NOT NULL PRIMARY KEY, course bigint NOT NULL, usermodified bigint NOT NULL);
CREATE TABLE mdl_defi_reponses (id bigint NOT NULL PRIMARY KEY, defiid bigint NOT NULL, auteur_user_id bigint NOT NULL, exemple tinyint NOT NULL);
CREATE TABLE mdl_defi_votes (id bigint NOT NULL PRIMARY KEY, reponseid bigint NOT NULL, userid bigint NOT NULL);
