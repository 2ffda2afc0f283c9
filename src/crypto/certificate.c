/* SPDX-License-Identifier: MIT
 *
 * The certificate that TLS shows, looked at by itself. TLS is libwebsockets' own affair.
 */
#include "restante/certificate.h"

#include "restante/clock.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <time.h>

/* Nobody is asked for a password: the server could not ask either. */
static int no_password(char *buffer, int size, int writing, void *context)
{
	(void)buffer;
	(void)size;
	(void)writing;
	(void)context;
	return -1;
}

/* NULL: there is none. */
static X509 *read_certificate(const char *path)
{
	FILE *file = fopen(path, "re");
	X509 *certificate = NULL;

	if (file != NULL) {
		certificate = PEM_read_X509_AUX(file, NULL, no_password, NULL);
		fclose(file);
	}
	return certificate;
}

static EVP_PKEY *read_key(const char *path)
{
	FILE *file = fopen(path, "re");
	EVP_PKEY *key = NULL;

	if (file != NULL) {
		key = PEM_read_PrivateKey(file, NULL, no_password, NULL);
		fclose(file);
	}
	return key;
}

static bool read_time(const ASN1_TIME *time, int64_t *ms_out)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(time, &tm) != 1)
		return false;
	*ms_out = (int64_t)timegm(&tm) * SECONDS_MS;
	return true;
}

static bool is_for(X509 *certificate, const char *name)
{
	return X509_check_host(certificate, name, 0, 0, NULL) == 1;
}

enum err certificate_check(const char *path, const char *key_path, const char *domain,
			   const char *host, struct certificate *certificate_out,
			   const char **reason_out)
{
	X509 *x509 = read_certificate(path);
	EVP_PKEY *key = read_key(key_path);
	const char *reason = NULL;

	if (x509 == NULL)
		reason = "there is no certificate (PEM) in its file";
	else if (key == NULL)
		reason = "there is no private key (PEM, without a password) in its file";
	else if (X509_check_private_key(x509, key) != 1)
		reason = "certificate and private key do not belong together";
	else if (!read_time(X509_get0_notBefore(x509), &certificate_out->begins_ms) ||
		 !read_time(X509_get0_notAfter(x509), &certificate_out->ends_ms))
		reason = "its times cannot be read";
	else {
		certificate_out->is_for_domain = is_for(x509, domain);
		certificate_out->is_for_host = is_for(x509, host);
	}
	EVP_PKEY_free(key);
	X509_free(x509);
	ERR_clear_error(); /* it would look like one of the next TLS call */
	*reason_out = reason;
	return reason == NULL ? ERR_OK : ERR_VALIDATION;
}
