/* SPDX-License-Identifier: MIT
 *
 * Reading raw DNS answers. Every length is checked against what is left; names are expanded
 * by c-ares, which follows compression pointers inside the message only. Pure.
 */
#include "dns.h"

#include "restante/crypto.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <strings.h>

#define HEADER_LEN  12
#define RR_FIXED    10
#define SRV_FIXED   6
#define SRV_MAX	    64
#define ALIASES_MAX 8
#define NAME_SIZE   1025 /* escaped, with the NUL */

#define BIT_QR	    0x80 /* byte 2 */
#define BIT_TC	    0x02
#define BIT_AD	    0x20 /* byte 3 */

struct reader {
	struct bytes raw;
	size_t first, at;     /* of the answer records, of the next one */
	unsigned total, left; /* answer records, those not read yet */
	char name[NAME_SIZE]; /* what was asked for, then what it is an alias of */
	unsigned aliases;
};

struct record {
	int type;
	int64_t ttl_s;
	size_t at; /* of its data in the message */
	size_t len;
};

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static bool read_name(const struct reader *reader, size_t at, char name_out[NAME_SIZE],
		      size_t *len_out)
{
	char *name;
	long len;
	bool fits;

	if (at >= reader->raw.len ||
	    ares_expand_name(reader->raw.data + at, reader->raw.data, (int)reader->raw.len,
			     &name, &len) != ARES_SUCCESS)
		return false;
	fits = strlen(name) < NAME_SIZE;
	if (fits)
		strcpy(name_out, name);
	ares_free_string(name);
	*len_out = (size_t)len;
	return fits;
}

/* RESOLVE_FOUND: the reader stands before the first answer record. */
static enum resolve_outcome open_answer(struct reader *reader, struct bytes raw,
					const char *name)
{
	char question[NAME_SIZE];
	unsigned rcode;
	size_t len;

	*reader = (struct reader){.raw = raw, .at = HEADER_LEN};
	if (raw.len < HEADER_LEN || raw.len > UINT16_MAX || strlen(name) >= NAME_SIZE)
		return RESOLVE_TRANSIENT;
	rcode = raw.data[3] & 0x0f;
	if ((raw.data[2] & BIT_QR) == 0 || (raw.data[2] & BIT_TC) != 0 ||
	    get16(raw.data + 4) != 1 || (rcode != ns_r_noerror && rcode != ns_r_nxdomain))
		return RESOLVE_TRANSIENT;
	if (!read_name(reader, reader->at, question, &len) || strcasecmp(question, name) != 0 ||
	    raw.len - reader->at - len < 4)
		return RESOLVE_TRANSIENT;
	if (rcode == ns_r_nxdomain)
		return RESOLVE_NONE;
	reader->first = reader->at = reader->at + len + 4;
	reader->total = reader->left = get16(raw.data + 6);
	strcpy(reader->name, name);
	return RESOLVE_FOUND;
}

static bool is_validated(struct bytes raw)
{
	return raw.len >= HEADER_LEN && (raw.data[3] & BIT_AD) != 0;
}

/* One record, whatever its name and type. */
static bool read_record(struct reader *reader, char owner_out[NAME_SIZE],
			struct record *record_out)
{
	const uint8_t *fixed;
	uint32_t ttl;
	size_t len;

	if (!read_name(reader, reader->at, owner_out, &len) ||
	    reader->raw.len - reader->at - len < RR_FIXED)
		return false;
	fixed = reader->raw.data + reader->at + len;
	ttl = (uint32_t)get16(fixed + 4) << 16 | get16(fixed + 6);
	record_out->type = get16(fixed + 2) == ns_c_in ? (int)get16(fixed) : -1;
	record_out->ttl_s = ttl > INT32_MAX ? 0 : (int64_t)ttl; /* RFC 2181 section 8 */
	record_out->at = reader->at + len + RR_FIXED;
	record_out->len = get16(fixed + 8);
	if (reader->raw.len - record_out->at < record_out->len)
		return false;
	reader->at = record_out->at + record_out->len;
	return true;
}

/* The whole answer is read again for the other name: records may stand in any order, and
 * names that lead back to each other must not look like an end without data. */
static bool follow_alias(struct reader *reader, const struct record *record)
{
	size_t len;

	reader->at = reader->first;
	reader->left = reader->total;
	return reader->aliases++ < ALIASES_MAX &&
	       read_name(reader, record->at, reader->name, &len);
}

/* The next record of this type and of the name in question. FOUND, NONE at the end, or
 * TRANSIENT for what cannot be read. */
static enum resolve_outcome next_record(struct reader *reader, int type,
					struct record *record_out)
{
	char owner[NAME_SIZE];

	while (reader->left > 0) {
		reader->left--;
		if (!read_record(reader, owner, record_out))
			return RESOLVE_TRANSIENT;
		if (strcasecmp(owner, reader->name) != 0)
			continue;
		if (record_out->type == type)
			return RESOLVE_FOUND;
		if (record_out->type == ns_t_cname && !follow_alias(reader, record_out))
			return RESOLVE_TRANSIENT;
	}
	return RESOLVE_NONE;
}

static bool copy_domain(const char *name, char domain_out[DOMAIN_SIZE])
{
	size_t len = strlen(name);

	if (len >= DOMAIN_SIZE)
		return false;
	for (size_t i = 0; i <= len; i++)
		domain_out[i] =
			name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32) : name[i];
	return domain_is_valid(bytes_of_text(domain_out));
}

/* RFC 2782: among records of one priority, one after the other is drawn at random, each as
 * likely as its weight; those of weight 0 stand in front, so that they have a small chance. */
static void draw_one(struct srv_record *records, size_t count)
{
	struct srv_record drawn;
	uint32_t total = 0, pick, sum = 0;
	size_t at = 0;

	for (size_t i = 0; i < count; i++)
		total += records[i].weight;
	pick = crypto_random_u32_below(total + 1);
	for (; at < count - 1; at++) {
		sum += records[at].weight;
		if (sum >= pick)
			break;
	}
	drawn = records[at];
	memmove(records + 1, records, at * sizeof *records);
	records[0] = drawn;
}

static bool stands_before(const struct srv_record *a, const struct srv_record *b)
{
	if (a->priority != b->priority)
		return a->priority < b->priority;
	return a->weight == 0 && b->weight != 0;
}

void dns_order_srv(struct srv_record *records, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct srv_record record = records[i];
		size_t at = i;

		for (; at > 0 && stands_before(&record, &records[at - 1]); at--)
			records[at] = records[at - 1];
		records[at] = record;
	}
	for (size_t i = 0; i < count; i++) {
		size_t n = 1;

		while (i + n < count && records[i + n].priority == records[i].priority)
			n++;
		draw_one(records + i, n);
	}
}

/* A target that is no domain is skipped; "." (RFC 2782: not here) is an empty name. */
static bool read_srv(const struct reader *reader, const struct record *record,
		     struct srv_record *srv_out, bool *root_out)
{
	const uint8_t *data = reader->raw.data + record->at;
	char target[NAME_SIZE];
	size_t len;

	if (record->len <= SRV_FIXED ||
	    !read_name(reader, record->at + SRV_FIXED, target, &len))
		return false;
	*srv_out = (struct srv_record){.priority = (uint16_t)get16(data),
				       .weight = (uint16_t)get16(data + 2),
				       .port = (uint16_t)get16(data + 4)};
	*root_out = target[0] == '\0';
	return !*root_out && srv_out->port != 0 && copy_domain(target, srv_out->target);
}

enum resolve_outcome dns_read_srv(struct bytes raw, const char *name, struct srv_answer *out)
{
	struct srv_record records[SRV_MAX];
	struct reader reader;
	struct record record;
	enum resolve_outcome outcome = open_answer(&reader, raw, name);
	size_t count = 0, seen = 0;
	bool root = false, any_root = false;

	*out = (struct srv_answer){.validated = is_validated(raw), .ttl_s = INT32_MAX};
	while (outcome == RESOLVE_FOUND && count < SRV_MAX) {
		outcome = next_record(&reader, ns_t_srv, &record);
		if (outcome != RESOLVE_FOUND)
			break;
		seen++;
		if (record.ttl_s < out->ttl_s)
			out->ttl_s = record.ttl_s;
		if (read_srv(&reader, &record, &records[count], &root))
			count++;
		any_root = any_root || root;
		root = false;
	}
	if (outcome == RESOLVE_TRANSIENT || seen == 0)
		return out->outcome = outcome;
	/* There are records, but perhaps none that can be used. */
	if (count == 0)
		return out->outcome =
			       any_root && seen == 1 ? RESOLVE_REFUSED : RESOLVE_TRANSIENT;
	dns_order_srv(records, count);
	out->count = count < TARGETS_MAX ? count : TARGETS_MAX;
	memcpy(out->records, records, out->count * sizeof records[0]);
	return out->outcome = RESOLVE_FOUND;
}

/* The strings of one record, concatenated; false when they do not fill it exactly. */
static bool read_strings(struct arena *arena, const struct reader *reader,
			 const struct record *record, struct bytes *text_out)
{
	const uint8_t *data = reader->raw.data + record->at;
	struct text text;
	size_t at = 0;

	text_init(&text, arena, record->len);
	while (at < record->len) {
		size_t len = data[at];

		if (record->len - at - 1 < len)
			return false;
		text_add(&text, bytes_of(data + at + 1, len));
		at += 1 + len;
	}
	*text_out = text_bytes(&text);
	return true;
}

/* False: one of ours that is malformed, or too many. */
static bool add_txt(struct bytes text, struct txt_answer *out)
{
	struct txt_key key = {0};
	enum err err = txt_decode(text, key.kid, key.public_key);

	if (err == ERR_NOT_FOUND)
		return true;
	if (err != ERR_OK || out->n_keys == SERVER_KEYS_MAX)
		return false;
	out->keys[out->n_keys++] = key;
	return true;
}

enum resolve_outcome dns_read_txt(struct bytes raw, const char *name, struct txt_answer *out)
{
	struct arena *arena = arena_create();
	struct reader reader;
	struct record record;
	struct bytes text;
	enum resolve_outcome outcome = open_answer(&reader, raw, name);
	bool valid = true, any = false;

	*out = (struct txt_answer){0};
	while (outcome == RESOLVE_FOUND) {
		outcome = next_record(&reader, ns_t_txt, &record);
		if (outcome != RESOLVE_FOUND)
			break;
		any = true;
		if (!read_strings(arena, &reader, &record, &text))
			outcome = RESOLVE_TRANSIENT;
		else if (!add_txt(text, out))
			valid = false;
	}
	arena_destroy(&arena);
	out->present = outcome != RESOLVE_TRANSIENT && valid && out->n_keys > 0;
	if (!out->present)
		out->n_keys = 0;
	out->failed = outcome == RESOLVE_TRANSIENT;
	out->validated = !out->failed && is_validated(raw);
	return outcome == RESOLVE_NONE && any ? RESOLVE_FOUND : outcome;
}

enum resolve_outcome dns_read_addresses(struct bytes raw, const char *name, int type,
					struct host_answer *out)
{
	const int family = type == ns_t_a ? AF_INET : AF_INET6;
	const size_t size = type == ns_t_a ? 4 : 16;
	size_t before = out->count;
	struct reader reader;
	struct record record;
	enum resolve_outcome outcome = open_answer(&reader, raw, name);

	while (outcome == RESOLVE_FOUND && out->count < TARGET_ADDRESSES_MAX) {
		outcome = next_record(&reader, type, &record);
		if (outcome == RESOLVE_FOUND && record.len != size)
			outcome = RESOLVE_TRANSIENT;
		if (outcome == RESOLVE_FOUND)
			inet_ntop(family, raw.data + record.at, out->addresses[out->count++],
				  sizeof out->addresses[0]);
	}
	if (outcome == RESOLVE_TRANSIENT) {
		out->count = before;
		return outcome;
	}
	return out->count > before ? RESOLVE_FOUND : outcome;
}
