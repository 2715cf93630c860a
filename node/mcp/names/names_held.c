#include "node/mcp/names/names_held.h"

#include "crypto/digest.h"
#include "node/mcp/names/names_view.h"

#define SEEN_SIZE 8

/* ---- held back ---- */

/* With everything that somebody sees of it, so that nothing changes behind a pin. A tool that has
 * one definition for all has its digest alone. */
static bool names_held_pin(struct names *names, const struct names_item *tool,
                           uint8_t ret[CURATION_PIN_SIZE])
{
    uint8_t one[CURATION_PIN_SIZE];
    struct digest digest;

    if (curation_digest(names->parser, tool->definition, &names->scratch, ret) != MN_OK)
        return false;
    if (tool->variants_count == 0) return true;
    digest_begin(&digest, DIGEST_DEFINITION, CURATION_PIN_SIZE);
    digest_fixed(&digest, mn_span(ret, CURATION_PIN_SIZE));
    for (uint32_t i = 0; i < tool->variants_count; i++) {
        if (curation_digest(names->parser, tool->variants[i].definition, &names->scratch, one) !=
            MN_OK)
            return false;
        digest_fixed(&digest, mn_span(one, sizeof one));
    }
    digest_end(&digest, ret);
    return true;
}

bool names_pin(struct names *names, struct names_item *tool, uint8_t ret[CURATION_PIN_SIZE])
{
    if (!tool->has_digest) tool->has_digest = names_held_pin(names, tool, tool->digest);
    mn_arena_reset(&names->scratch);
    memcpy(ret, tool->digest, CURATION_PIN_SIZE);
    return tool->has_digest;
}

static enum names_held names_held_tool(struct names *names, struct names_item *tool)
{
    const struct curation_rule *rule =
        curation_rule(&names->curation, tool->service->name, tool->own);
    uint8_t pin[CURATION_PIN_SIZE];

    if (rule == NULL) return NAMES_FREE;
    if (rule->is_held) return NAMES_QUARANTINED;
    if (!rule->has_pin) return NAMES_FREE;
    if (names_pin(names, tool, pin) && memcmp(pin, rule->pin, sizeof pin) == 0) return NAMES_FREE;
    return NAMES_CHANGED;
}

static void names_held_digest(struct names_service *service)
{
    struct digest digest;

    memset(service->digests[NAMES_TOOLS], 0, NAMES_DIGEST_SIZE);
    if (service->shown_count == 0) return; /* as names_offer.c does for an empty list */
    digest_begin(&digest, DIGEST_TOOL, NAMES_DIGEST_SIZE);
    digest_variable(&digest, service->name);
    for (uint32_t i = 0; i < service->shown_count; i++)
        digest_variable(&digest, service->shown[i]->definition);
    digest_end(&digest, service->digests[NAMES_TOOLS]);
}

bool names_held_judge(struct names *names, struct names_service *service)
{
    bool had = service->shown != NULL;
    uint32_t count = service->counts[NAMES_TOOLS], held_count = 0;

    service->shown = NULL; /* it was in the arena of the tables */
    for (uint32_t i = 0; i < count; i++) {
        struct names_item *tool = &service->items[NAMES_TOOLS][i];
        tool->held = names_held_tool(names, tool);
        held_count += tool->held != NAMES_FREE;
    }
    memcpy(service->digests[NAMES_TOOLS], service->digest_all, NAMES_DIGEST_SIZE);
    if (held_count == 0) return had;
    service->shown = mn_arena_alloc(&names->arena, count * sizeof(struct names_item *));
    service->shown_count = 0;
    for (uint32_t i = 0; i < count; i++)
        if (service->items[NAMES_TOOLS][i].held == NAMES_FREE)
            service->shown[service->shown_count++] = &service->items[NAMES_TOOLS][i];
    names_held_digest(service);
    return true;
}

const char *names_held_name(enum names_held held)
{
    switch (held) {
    case NAMES_FREE: return "ok";
    case NAMES_QUARANTINED: return "quarantined";
    case NAMES_CHANGED: return "changed";
    }
    return "unknown";
}

enum names_held names_is_held(struct names *names, struct mn_span service, struct mn_span tool)
{
    const struct names_item *item = names_tool_of(names, service, tool);
    const struct curation_rule *rule;

    if (item != NULL) return item->held;
    /* What a server does not list it may know all the same. */
    rule = curation_rule(&names->curation, service, tool);
    return rule != NULL && rule->is_held ? NAMES_QUARANTINED : NAMES_FREE;
}

void names_curate(struct names *names, const struct curation_pair *pairs, uint32_t count)
{
    names_view_done(names);
    curation_load(&names->curation, pairs, count, names->parser);
    names->is_stale = true;
}

/* ---- changed definitions ---- */

struct names_seen {
    struct mn_map_entry by_key; /* SERVICE/TOOL, behind this struct */
    uint8_t digest[SEEN_SIZE];
};

static struct names_seen *names_seen_find(const struct names *names, struct mn_span service,
                                          struct mn_span tool, struct mn_arena *arena,
                                          struct mn_span *key)
{
    struct mn_map_entry *entry;

    *key = mn_span_str(mn_arena_format(arena, "%.*s/%.*s", (int)service.size,
                                       (const char *)service.data, (int)tool.size,
                                       (const char *)tool.data));
    entry = mn_map_find(&names->seen, *key);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct names_seen, by_key);
}

static void names_seen_digest(const struct names_item *tool, uint8_t ret[SEEN_SIZE])
{
    struct digest digest;

    digest_begin(&digest, DIGEST_DEFINITION, SEEN_SIZE);
    digest_variable(&digest, tool->definition);
    for (uint32_t i = 0; i < tool->variants_count; i++)
        digest_variable(&digest, tool->variants[i].definition);
    digest_end(&digest, ret);
}

static void names_note_change(struct names *names, const struct names_item *tool)
{
    struct mn_span service = tool->service->name;
    struct names_change *change, **last = &names->changes;

    if (names->changes_count == NAMES_CHANGES_MAX) return;
    change = mn_alloc(sizeof *change + service.size + tool->own.size);
    memcpy(change + 1, service.data, service.size);
    memcpy((uint8_t *)(change + 1) + service.size, tool->own.data, tool->own.size);
    change->service = mn_span(change + 1, service.size);
    change->tool = mn_span((uint8_t *)(change + 1) + service.size, tool->own.size);
    while (*last != NULL)
        last = &(*last)->next;
    *last = change;
    names->changes_count++;
}

/* A server that is kept apart as NAME.NODE is compared with what NAME was. */
static void names_notice_tool(struct names *names, const struct names_item *tool)
{
    struct mn_span service = tool->service->name, key, base_key;
    struct names_seen *seen = names_seen_find(names, service, tool->own, &names->scratch, &key);
    const struct names_seen *before = seen;
    const uint8_t *dot = memchr(service.data, '.', service.size);
    uint8_t digest[SEEN_SIZE];

    names_seen_digest(tool, digest);
    if (seen == NULL && dot != NULL)
        before = names_seen_find(names, mn_span(service.data, (size_t)(dot - service.data)),
                                 tool->own, &names->scratch, &base_key);
    if (before != NULL && memcmp(before->digest, digest, sizeof digest) != 0)
        names_note_change(names, tool);
    if (seen == NULL && names->seen.count < NAMES_SEEN_MAX) {
        seen = mn_alloc(sizeof *seen + key.size);
        memcpy(seen + 1, key.data, key.size);
        mn_map_insert(&names->seen, &seen->by_key, mn_span(seen + 1, key.size));
    }
    if (seen != NULL) memcpy(seen->digest, digest, sizeof digest);
    mn_arena_reset(&names->scratch);
}

void names_held_notice(struct names *names, struct names_service *service)
{
    if (!service->is_listed) return;
    for (uint32_t i = 0; i < service->counts[NAMES_TOOLS]; i++)
        names_notice_tool(names, &service->items[NAMES_TOOLS][i]);
}

struct names_change *names_take_change(struct names *names)
{
    struct names_change *change = names->changes;

    if (change == NULL) return NULL;
    names->changes = change->next;
    names->changes_count--;
    return change;
}

void names_held_done(struct names *names)
{
    struct mn_map_entry *entry;
    struct names_change *change;

    while ((change = names_take_change(names)) != NULL)
        mn_free(change);
    while ((entry = mn_map_next(&names->seen, NULL)) != NULL) {
        mn_map_remove(&names->seen, entry);
        mn_free(MN_CONTAINER(entry, struct names_seen, by_key));
    }
    mn_map_done(&names->seen);
    curation_done(&names->curation);
}
