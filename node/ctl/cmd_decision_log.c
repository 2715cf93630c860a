/* consensus log: the decisions a node knows, and with --follow how they end as that happens. */
#include <string.h>
#include <time.h>

#include "node/ctl/ctl.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define LOOK_MS 500 /* between two looks */

static const struct ctl_column log_columns[] = {
    {"ID", "id", CTL_AS_TEXT, false},
    {"TOPIC", "topic", CTL_AS_TEXT, false},
    {"VALUE", "value", CTL_AS_TEXT, false},
    {"OUTCOME", "outcome", CTL_AS_STATE, false},
    {"YES", "yes", CTL_AS_TEXT, false},
    {"NO", "no", CTL_AS_TEXT, false},
    {"ABSTAIN", "abstain", CTL_AS_TEXT, false},
    {"TOTAL", "total", CTL_AS_TEXT, false},
    {"OWN", "own", CTL_AS_TEXT, false},
    {"PROPOSER", "proposer.name", CTL_AS_TEXT, false},
    {"CREATED", "created", CTL_AS_TIME, true},
    {"DEADLINE", "deadline", CTL_AS_TIME, true},
    {"BYZANTINE", "byzantine", CTL_AS_TEXT, true},
};

static int log_once(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, "/v1/decisions", &root);

    return status == CTL_OK ? ctl_print_list(ctl, root, log_columns, COUNT(log_columns)) : status;
}

/* ---- following ---- */

/* Every decision as it was seen last: "ID OUTCOME" lines. */
struct seen {
    struct mn_buf *lines; /* NULL: nothing yet */
};

static const char *line_of(struct ctl *ctl, const struct json *decision)
{
    return mn_arena_format(&ctl->arena, "%s %s\n", ctl_show(ctl, decision, "id"),
                           ctl_show(ctl, decision, "outcome"));
}

static bool is_seen(const struct seen *seen, const char *line)
{
    struct mn_span lines = mn_buf_span(seen->lines);

    return lines.size > 0 && memmem(lines.data, lines.size, line, strlen(line)) != NULL;
}

static void print_news(struct ctl *ctl, const struct json *decision)
{
    const char *outcome = ctl_show(ctl, decision, "outcome");

    if (ctl_wants_json(ctl)) {
        ctl_print_json(ctl, decision);
        return;
    }
    fprintf(ctl->out, "%s %s = %s: %s%s%s; yes %.0f, no %.0f, abstain %.0f of %.0f\n",
            ctl_show(ctl, decision, "id"), ctl_show(ctl, decision, "topic"),
            ctl_show(ctl, decision, "value"), ctl_colour(ctl, outcome), outcome,
            ctl_colour_end(ctl), ctl_number(decision, "yes"), ctl_number(decision, "no"),
            ctl_number(decision, "abstain"), ctl_number(decision, "total"));
}

/* Prints what is new since the last look, the oldest first; the list begins with the newest. */
static void look(struct ctl *ctl, const struct json *items, struct seen *seen)
{
    uint32_t count = json_is(items, JSON_ARRAY) ? items->count : 0;
    const struct json **order = mn_arena_alloc(&ctl->arena, (count + 1) * sizeof *order);
    const struct json *item = count == 0 ? NULL : json_first(items);
    struct mn_writer lines = {0};

    for (uint32_t i = count; item != NULL && i > 0; item = json_next(items, item))
        order[--i] = item;
    for (uint32_t i = 0; i < count; i++) {
        const char *line = line_of(ctl, order[i]);
        if (!is_seen(seen, line)) print_news(ctl, order[i]);
        mn_writer_str(&lines, line);
    }
    mn_buf_unref(seen->lines);
    seen->lines = mn_writer_done(&lines);
}

static int follow(struct ctl *ctl)
{
    struct seen seen = {0};
    const struct json *root;
    int status;

    while ((status = ctl_get(ctl, "/v1/decisions", &root)) == CTL_OK) {
        look(ctl, json_find_str(root, "items"), &seen);
        if (fflush(ctl->out) != 0) break;
        mn_arena_reset(&ctl->arena);
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
    }
    mn_buf_unref(seen.lines);
    return status;
}

int ctl_consensus_log(struct ctl *ctl)
{
    return ctl->is_following ? follow(ctl) : ctl_watch(ctl, log_once);
}
