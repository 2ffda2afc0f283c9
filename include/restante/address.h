/* SPDX-License-Identifier: MIT
 *
 * Addresses `user@domain` (docs/protocol.md section 1). There is one spelling of each;
 * nothing is normalised.
 */
#ifndef RESTANTE_ADDRESS_H
#define RESTANTE_ADDRESS_H

#include "restante/bytes.h"
#include "restante/err.h"

#define USER_SIZE    65 /* with the NUL */
#define DOMAIN_SIZE  254
#define ADDRESS_SIZE (USER_SIZE + DOMAIN_SIZE)

struct address {
	char text[ADDRESS_SIZE]; /* user@domain */
	char user[USER_SIZE];
	char domain[DOMAIN_SIZE];
};

bool user_is_valid(struct bytes user);
bool domain_is_valid(struct bytes domain);
enum err address_parse(struct bytes text, struct address *address_out) MUST_CHECK;
void address_make(const char *user, const char *domain, struct address *address_out);

#endif
