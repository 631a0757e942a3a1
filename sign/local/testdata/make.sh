#!/bin/sh
# Makes the keys of this folder with OpenSSL 3; the passphrase of the encrypted ones is "secret".
set -eu
cd "$(dirname "$0")"
openssl ecparam -name prime256v1 -genkey -out ec-sec1-params.pem
openssl ec -in ec-sec1-params.pem -out ec-sec1.pem
openssl pkcs8 -topk8 -nocrypt -in ec-sec1.pem -out ec-pkcs8.pem
openssl pkcs8 -topk8 -in ec-sec1.pem -passout pass:secret -out ec-pkcs8-encrypted.pem
openssl pkcs8 -topk8 -scrypt -in ec-sec1.pem -passout pass:secret -out ec-pkcs8-scrypt.pem
openssl ec -in ec-sec1.pem -aes256 -passout pass:secret -out ec-legacy-encrypted.pem
openssl genrsa -traditional -out rsa-pkcs1.pem 2048
openssl rsa -traditional -in rsa-pkcs1.pem -aes128 -passout pass:secret -out rsa-legacy-encrypted.pem
openssl genpkey -algorithm ed25519 -out ed25519-pkcs8.pem
openssl genrsa -traditional -out rsa-1024.pem 1024
