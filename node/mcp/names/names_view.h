/* names_view.h: a view as a table: which tools, prompts, resources and templates it shows, and what
 * they are called there. Like every table a function of the offers and of what operators agreed on
 * alone: its entries in their order, what an entry chooses in the order of /mcp.
 *
 * A tool or prompt is called what its entry says, else as at /mcp. The names that entries give are
 * theirs even while nobody has what they stand for; who would be called the same is called
 * otherwise (its hashed form). Resources keep what they are called at /mcp. */
#ifndef NAMES_VIEW_H
#define NAMES_VIEW_H

#include "node/mcp/names/names.h"

struct names_row {
    struct mn_map_entry by_exposed;
    struct names_item *item;
    struct mn_span exposed;
};

struct names_view {
    struct mn_map_entry by_name;
    const struct curation_view *wish;
    bool is_built;
    struct mn_map tables[NAMES_RESOURCES]; /* tools, prompts: by exposed name, held ones too */
    struct names_row *rows[NAMES_LISTS];   /* what is listed */
    uint32_t counts[NAMES_LISTS];
    struct names_row *all; /* tools, whatever the surface is */
    uint32_t all_count;
    struct audience_relevant relevant[NAMES_LISTS]; /* as of a service */
    uint8_t digests[NAMES_LISTS][NAMES_DIGEST_SIZE];
    struct names_lists lists;
    struct mn_arena arena;
};

/* NULL: there is no such view. Valid until the next change. */
struct names_view *names_view(struct names *names, struct mn_span name);

/* By what it is called in the view, listed or held back; NULL: nothing is. */
struct names_row *names_view_tool(struct names_view *view, struct mn_span exposed);
struct names_row *names_view_prompt(struct names_view *view, struct mn_span exposed);

/* Whether [service] may be asked for that URI of its own in the view: it is chosen, or the user
 * interface of a tool that is. [effort]: as in effort.h. */
bool names_view_allows(const struct names_view *view, const struct names_service *service,
                       struct mn_span own, size_t *effort);

/* All chosen tools in order, whatever the surface is; the view is searched through these. */
uint32_t names_view_tools(struct names_view *view, const struct names_row **ret);

/* The tables point into services that go: forgets what was built. done: and the views too. */
void names_view_forget(struct names *names);
void names_view_done(struct names *names);

#endif
