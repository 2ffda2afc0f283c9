/* SPDX-License-Identifier: MIT
 *
 * Reading raw DNS answers (RFC 1035): SRV, TXT and addresses, with what c-ares's own
 * parsers leave out: times to live and the AD bit. Pure functions over foreign bytes.
 */
#ifndef FEDERATION_DNS_H
#define FEDERATION_DNS_H

#include "loop.h"

/* Each reads the answer to a question for `name`, following CNAMEs inside of it. What is
 * not RESOLVE_FOUND leaves the lists empty. `validated` is the AD bit as it came: whether
 * to believe it is the caller's to know. */
enum resolve_outcome dns_read_srv(struct bytes raw, const char *name, struct srv_answer *out);
/* Records of ours that are malformed make the whole answer absent: FOUND, not present. */
enum resolve_outcome dns_read_txt(struct bytes raw, const char *name, struct txt_answer *out);
/* type: A or AAAA as a number (1, 28). Appends. */
enum resolve_outcome dns_read_addresses(struct bytes raw, const char *name, int type,
					struct host_answer *out);

/* The order of RFC 2782: by priority, at random by weight within one. */
void dns_order_srv(struct srv_record *records, size_t count);

#endif
