-- What notary-signer keeps in a database (its migrations 1 and 2): keys, encrypted.
CREATE TABLE private_keys (
  id int NOT NULL AUTO_INCREMENT,
  created_at timestamp NULL,
  updated_at timestamp NULL,
  deleted_at timestamp NULL,
  key_id varchar(255) NOT NULL,
  encryption_alg varchar(255) NOT NULL,
  keywrap_alg varchar(255) NOT NULL,
  algorithm varchar(50) NOT NULL,
  passphrase_alias varchar(50) NOT NULL,
  public blob NOT NULL,
  private blob NOT NULL,
  gun varchar(255) NOT NULL,
  role varchar(255) NOT NULL,
  last_used datetime NULL,
  PRIMARY KEY (id),
  UNIQUE KEY (key_id)
) DEFAULT CHARSET=utf8;
