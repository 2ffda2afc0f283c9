/* SPDX-License-Identifier: MIT
 *
 * The router goes through the table of routes, which is short, in order.
 */
#include "router.h"

static const char *const method_names[METHOD_COUNT] = {
	[METHOD_GET] = "GET",	  [METHOD_POST] = "POST",     [METHOD_PUT] = "PUT",
	[METHOD_PATCH] = "PATCH", [METHOD_DELETE] = "DELETE",
};

const char *router_method_name(enum method method)
{
	return method_names[method];
}

enum method router_method(struct bytes name)
{
	for (int m = 0; m < METHOD_COUNT; m++) {
		if (bytes_equal(name, bytes_of_text(method_names[m])))
			return (enum method)m;
	}
	return METHOD_COUNT;
}

static bool path_matches(const char *pattern, struct bytes path, struct bytes *param_out)
{
	size_t fixed = strlen(pattern);
	bool has_param = fixed >= 2 && strcmp(pattern + fixed - 2, "{}") == 0;

	if (!has_param)
		return bytes_equal(path, bytes_of(pattern, fixed));
	fixed -= 2;
	if (path.len <= fixed || memcmp(path.data, pattern, fixed) != 0 ||
	    memchr(path.data + fixed, '/', path.len - fixed) != NULL)
		return false;
	*param_out = bytes_of(path.data + fixed, path.len - fixed);
	return true;
}

struct match router_match(const struct route *routes, enum method method, struct bytes path)
{
	struct match match = {0};

	for (const struct route *r = routes; r->path != NULL; r++) {
		struct bytes param = {0};

		if (!path_matches(r->path, path, &param))
			continue;
		match.methods |= 1U << r->method;
		if (r->method == method && match.route == NULL) {
			match.route = r;
			match.param = param;
		}
	}
	return match;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool router_decode(struct arena *arena, struct bytes encoded, struct bytes *out)
{
	uint8_t *decoded = arena_alloc(arena, encoded.len + 1);
	size_t len = 0;

	for (size_t i = 0; i < encoded.len; i++) {
		uint8_t c = encoded.data[i];

		if (c == '%') {
			int high = i + 2 < encoded.len ? hex_digit(encoded.data[i + 1]) : -1;
			int low = high >= 0 ? hex_digit(encoded.data[i + 2]) : -1;

			if (low < 0)
				return false;
			c = (uint8_t)(16 * high + low);
			i += 2;
		}
		if (c < 0x20 || c == 0x7f)
			return false;
		decoded[len++] = c;
	}
	*out = bytes_of(decoded, len);
	return true;
}

bool router_query(struct arena *arena, struct bytes query, const char *name,
		  struct bytes *value_out, bool *malformed_out)
{
	size_t name_len = strlen(name);
	struct bytes value = {0};
	bool found = false;

	*malformed_out = false;
	while (query.len > 0) {
		const uint8_t *end = memchr(query.data, '&', query.len);
		size_t len = end != NULL ? (size_t)(end - query.data) : query.len;
		size_t used = end != NULL ? len + 1 : len;

		if (len > name_len && query.data[name_len] == '=' &&
		    memcmp(query.data, name, name_len) == 0) {
			*malformed_out |= found;
			found = true;
			value = bytes_of(query.data + name_len + 1, len - name_len - 1);
		}
		query = bytes_of(query.data + used, query.len - used);
	}
	if (found && !*malformed_out)
		*malformed_out = !router_decode(arena, value, value_out);
	return found && !*malformed_out;
}
