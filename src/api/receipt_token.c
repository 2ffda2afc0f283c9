/* SPDX-License-Identifier: MIT
 *
 * The token that goes with a message to another domain and comes back in receipts
 * (docs/protocol.md section 4.5): base64url of the sending device's generation and a MAC
 * over it, the message id, the sender and the recipient. Nothing has to be remembered.
 */
#include "node.h"

#include "restante/crypto.h"

#define MAC_SIZE 16

struct token_bytes {
	uint8_t generation[8]; /* big-endian */
	uint8_t mac[MAC_SIZE];
};

static void token_fill(struct node *node, int64_t generation, const uint8_t id[16],
		       const char *from, const char *to, struct token_bytes *token_out)
{
	uint8_t input[sizeof("receipt") + 8 + 16 + 2 * ADDRESS_SIZE];
	uint8_t mac[SHA256_SIZE];
	size_t len = sizeof("receipt"); /* with its NUL */

	for (int i = 0; i < 8; i++)
		token_out->generation[i] = (uint8_t)((uint64_t)generation >> (56 - 8 * i));
	memcpy(input, "receipt", len);
	memcpy(input + len, token_out->generation, 8);
	memcpy(input + len + 8, id, 16);
	len += 24;
	memcpy(input + len, from, strlen(from) + 1);
	len += strlen(from) + 1;
	memcpy(input + len, to, strlen(to) + 1);
	len += strlen(to) + 1;
	crypto_mac(node->keys.receipt_secret, bytes_of(input, len), mac);
	memcpy(token_out->mac, mac, MAC_SIZE);
}

char *receipt_token_make(struct node *node, struct arena *arena, int64_t generation,
			 const uint8_t id[16], const char *from, const char *to)
{
	struct token_bytes token;

	token_fill(node, generation, id, from, to, &token);
	return base64url_encode(arena, bytes_of(&token, sizeof(token)));
}

bool receipt_token_check(struct node *node, const char *text, const uint8_t id[16],
			 const char *from, const char *to, int64_t *generation_out)
{
	struct token_bytes given, expected;
	uint64_t generation = 0;

	if (base64url_decode_exact(bytes_of_text(text), sizeof(given), (uint8_t *)&given) !=
	    ERR_OK)
		return false;
	for (int i = 0; i < 8; i++)
		generation = generation << 8 | given.generation[i];
	token_fill(node, (int64_t)generation, id, from, to, &expected);
	if (!crypto_equal(&given, &expected, sizeof(given)))
		return false;
	*generation_out = (int64_t)generation;
	return true;
}
