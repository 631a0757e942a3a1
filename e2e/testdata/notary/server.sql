-- What notary-server keeps in a database (its migrations 1 to 5).
CREATE TABLE tuf_files (
  id int NOT NULL AUTO_INCREMENT,
  created_at timestamp NULL,
  updated_at timestamp NULL,
  deleted_at timestamp NULL,
  gun varchar(255) NOT NULL,
  role varchar(255) NOT NULL,
  version int NOT NULL,
  data longblob NOT NULL,
  sha256 char(64),
  PRIMARY KEY (id),
  UNIQUE KEY (gun, role, version),
  INDEX (sha256)
) DEFAULT CHARSET=utf8;
CREATE TABLE changefeed (
  id int NOT NULL AUTO_INCREMENT,
  created_at timestamp DEFAULT CURRENT_TIMESTAMP,
  gun varchar(255) NOT NULL,
  version int NOT NULL,
  sha256 char(64),
  category varchar(20) NOT NULL DEFAULT 'update',
  PRIMARY KEY (id),
  INDEX (gun)
) DEFAULT CHARSET=utf8;
