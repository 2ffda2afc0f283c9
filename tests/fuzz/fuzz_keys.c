/* SPDX-License-Identifier: MIT
 *
 * The keys and signatures of devices. The first byte selects scheme and kind, as a letter
 * from 'a': four schemes, and for each identity key, prekey, PQ prekey and signature. A
 * signature comes behind its identity key, whose length is the second byte; the message
 * is fixed.
 */
#include "restante/crypto.h"
#include "restante/verify.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void verify(enum key_scheme scheme, struct bytes input)
{
	struct bytes identity;
	size_t len;

	if (input.len < 1)
		return;
	len = input.data[0] < input.len - 1 ? input.data[0] : input.len - 1;
	identity = bytes_of(input.data + 1, len);
	if (scheme_verify(scheme, identity, bytes_of_text("message"),
			  bytes_of(input.data + 1 + len, input.len - 1 - len)) == ERR_OK)
		assert(scheme_check_identity(scheme, identity) == ERR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes key;
	enum key_scheme scheme;
	enum err err = ERR_OK;
	unsigned which;

	crypto_init();
	if (size < 1)
		return 0;
	key = bytes_of(data + 1, size - 1);
	which = (unsigned)(data[0] - 'a') % 16;
	scheme = (enum key_scheme)(SCHEME_SIGNAL + which / 4);
	switch (which % 4) {
	case 0:
		err = scheme_check_identity(scheme, key);
		break;
	case 1:
		err = scheme_check_prekey(scheme, key);
		break;
	case 2:
		err = scheme_check_pq(scheme, key);
		break;
	case 3:
		verify(scheme, key);
		break;
	}
	assert(err == ERR_OK || err == ERR_VALIDATION);
	return 0;
}
