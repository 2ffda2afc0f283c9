/* SPDX-License-Identifier: MIT
 *
 * Addresses, and the URLs of nodes.
 */
#include "restante/document.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes text = bytes_of(data, size);
	struct address address, made;
	char host[DOMAIN_SIZE];
	int port;

	if (address_parse(text, &address) == ERR_OK) {
		assert(bytes_equal(text, bytes_of_text(address.text)));
		address_make(address.user, address.domain, &made);
		assert(strcmp(address.text, made.text) == 0);
	}
	if (federation_url_parse(text, host, &port) == ERR_OK) {
		assert(domain_is_valid(bytes_of_text(host)));
		assert(port >= 1 && port <= 65535);
	}
	return 0;
}
