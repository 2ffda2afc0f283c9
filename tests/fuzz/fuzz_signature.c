/* SPDX-License-Identifier: MIT
 *
 * The three headers of a signature between nodes, one a line: those of a request and those
 * of a response.
 */
#include "restante/crypto.h"
#include "restante/signature.h"

#include <assert.h>
#include <stdio.h>

#define NONCE "AAECAwQFBgcICQoLDA0ODw"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bytes next_line(struct bytes *rest)
{
	const uint8_t *end = rest->len > 0 ? memchr(rest->data, '\n', rest->len) : NULL;
	struct bytes line = *rest;

	if (end == NULL) {
		rest->len = 0;
		return line;
	}
	line.len = (size_t)(end - line.data);
	*rest = bytes_of(end + 1, rest->len - line.len - 1);
	return line;
}

/* There is one spelling of what was understood. */
static void check_params(const struct s2s_params *params, struct bytes input)
{
	char end[512];
	int len = snprintf(end, sizeof end,
			   ";created=%lld;expires=%lld;nonce=\"%s\";keyid=\"%s/%s\";",
			   (long long)params->created_s, (long long)params->expires_s,
			   params->nonce, params->origin, params->kid);

	assert(domain_is_valid(bytes_of_text(params->origin)));
	assert(kid_is_valid(bytes_of_text(params->kid)));
	assert(params->inner.data > input.data &&
	       params->inner.data + params->inner.len == input.data + input.len);
	assert(memmem(input.data, input.len, end, (size_t)len) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[32] = {0x58, 0x66, 0x66};
	struct bytes rest = bytes_of(data, size);
	struct bytes digest = next_line(&rest), input = next_line(&rest);
	struct bytes signature = rest;
	struct s2s_target target = {.authority = "b.example",
				    .path = "/federation/v1/transactions",
				    .destination = "b.example",
				    .content_digest = digest};
	struct s2s_params params;

	crypto_init();
	if (s2s_request_parse(digest, input, signature, &params) == ERR_OK) {
		check_params(&params, input);
		assert(s2s_request_verify(&params, &target, key) != ERR_OK);
	}
	if (s2s_response_parse(digest, input, signature, "b.example", NONCE,
			       INT64_C(1767225600000), &params) == ERR_OK) {
		check_params(&params, input);
		assert(strcmp(params.nonce, NONCE) == 0);
		assert(s2s_response_verify(&params, &target, 200, digest, input, key) !=
		       ERR_OK);
	}
	return 0;
}
