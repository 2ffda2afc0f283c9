/* SPDX-License-Identifier: MIT
 *
 * With which domains this node federates at all, by configuration. Pure, any thread.
 */
#include "restante/federation.h"

/* An entry `.example.org` means example.org and all that is below it. */
static bool entry_matches(const char *entry, const char *domain)
{
	size_t entry_len = strlen(entry), domain_len = strlen(domain);

	if (entry[0] != '.')
		return strcmp(entry, domain) == 0;
	if (strcmp(entry + 1, domain) == 0)
		return true;
	return domain_len > entry_len && strcmp(domain + domain_len - entry_len, entry) == 0;
}

static bool list_matches(const struct config_list *list, const char *domain)
{
	for (size_t i = 0; i < list->count; i++)
		if (entry_matches(list->items[i], domain))
			return true;
	return false;
}

bool federation_allows(const struct config *config, const char *domain)
{
	/* Nobody else speaks for this domain, and talking to oneself would only loop. */
	if (strcmp(domain, config->node_domain) == 0)
		return false;
	if (list_matches(&config->federation_deny, domain))
		return false;
	if (strcmp(config->federation_mode, "open") == 0)
		return true;
	if (strcmp(config->federation_mode, "allowlist") == 0)
		return list_matches(&config->federation_allow, domain);
	return false;
}
