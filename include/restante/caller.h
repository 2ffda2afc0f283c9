/* SPDX-License-Identifier: MIT
 *
 * Who asks, as an access token says. Whether that device still exists, and whether the
 * token is from before its last logout, is known to the store alone, which checks it in
 * every operation of a caller.
 */
#ifndef RESTANTE_CALLER_H
#define RESTANTE_CALLER_H

#include <stdint.h>

#define CALLER_USER_SIZE 65 /* with its NUL */

struct caller {
	char user[CALLER_USER_SIZE];
	uint8_t device_id;
	int64_t generation;
	int64_t issued_at_ms;
	int64_t expires_at_ms;
};

#endif
