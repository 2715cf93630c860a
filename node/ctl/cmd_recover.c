/* consensus verify, consensus recover: are the replicas equal, and what if the quorum is gone. */
#include "node/ctl/ctl.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct ctl_column replica_columns[] = {
    {"NODE", "node", CTL_AS_TEXT, false},
    {"REPLICA", "replica", CTL_AS_TEXT, false},
    {"APPLIED", "applied", CTL_AS_TEXT, false},
    {"ID", "id", CTL_AS_ID, true},
};

static const struct ctl_column log_columns[] = {
    {"NODE", "node", CTL_AS_TEXT, false},   {"VOTES", "votes", CTL_AS_BOOL, false},
    {"EPOCH", "epoch", CTL_AS_TEXT, false}, {"TERM", "term", CTL_AS_TEXT, false},
    {"LAST", "last", CTL_AS_TEXT, false},   {"COMMIT", "commit", CTL_AS_TEXT, false},
    {"LOG", "log", CTL_AS_TEXT, false},     {"ID", "id", CTL_AS_ID, true},
};

/* "n4, n5", of those that are [what]; "": nobody. */
static const char *replicas_that_are(struct ctl *ctl, const struct json *items, const char *what,
                                     unsigned *count)
{
    const char *names = "";

    for (const struct json *item = json_first(items); item != NULL; item = json_next(items, item)) {
        if (!mn_span_is(ctl_string(item, "replica"), what)) continue;
        names = mn_arena_format(&ctl->arena, "%s%s%s", names, names[0] == '\0' ? "" : ", ",
                                ctl_show(ctl, item, "node"));
        ++*count;
    }
    return names;
}

/* Those that could not be compared, and what that means. Returns how many. */
static unsigned print_left_out(struct ctl *ctl, const struct json *items)
{
    static const struct {
        const char *what, *says;
    } kinds[] = {
        {"being made", "being made just now, and soon done"},
        {"behind", "behind, and had not come so far within 5 s"},
        {"no answer", "without an answer: meshctl nodes"},
    };
    unsigned total = 0;

    for (size_t i = 0; i < COUNT(kinds); i++) {
        unsigned count = 0;
        const char *names = replicas_that_are(ctl, items, kinds[i].what, &count);
        total += count;
        if (count > 0 && !ctl_wants_json(ctl) && !ctl->is_quiet)
            fprintf(ctl->out, "%s: %s\n", names, kinds[i].says);
    }
    if (total > 0 && !ctl_wants_json(ctl) && !ctl->is_quiet)
        fprintf(ctl->out, "not compared: %u; ask again\n", total);
    return total;
}

/* Exit 6 when one differs, 8 when one could not be compared. */
int ctl_consensus_verify(struct ctl *ctl)
{
    const struct json *root, *items;
    unsigned equal = 0, differing = 0, left_out;
    int status = ctl_do(ctl, "POST", "/v1/consensus/verify", mn_span_str("{}"), &root);

    if (status == CTL_OK)
        status = ctl_print_list(ctl, root, replica_columns, COUNT(replica_columns));
    if (status != CTL_OK) return status;
    items = json_find_str(root, "items");
    (void)replicas_that_are(ctl, items, "equal", &equal);
    (void)replicas_that_are(ctl, items, "differs", &differing);
    if (!ctl_wants_json(ctl) && !ctl->is_quiet) {
        fprintf(ctl->out, "%u of %u are equal as of revision %.0f\n", equal, items->count,
                ctl_number(root, "rev"));
        if (differing > 0) fprintf(ctl->out, "one differs: stop it, wipe its log/, start it\n");
    }
    left_out = print_left_out(ctl, items);
    if (differing > 0) return CTL_CONFLICT;
    return left_out == 0 ? CTL_OK : CTL_PARTIAL;
}

static int show_plan(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, "/v1/consensus/recovery", &root);

    if (status == CTL_OK) status = ctl_print_list(ctl, root, log_columns, COUNT(log_columns));
    if (status != CTL_OK) return status;
    if (!ctl_wants_json(ctl)) {
        fprintf(ctl->out, "%s\n", ctl_show(ctl, root, "message"));
        if (json_is(json_find_str(root, "plan"), JSON_STRING))
            fprintf(ctl->out,
                    "Voters that are given up must not come back while they cannot reach the "
                    "others. Do it, on an issuer: meshctl consensus recover --apply %s --yes\n",
                    ctl_show(ctl, root, "plan"));
    }
    return CTL_OK;
}

int ctl_consensus_recover(struct ctl *ctl)
{
    const char *plan = ctl_value(ctl, "--apply");
    struct mn_writer writer = {0};
    const struct json *root;
    struct mn_buf *body;
    int status;

    if (plan == NULL) return show_plan(ctl);
    if (ctl_value(ctl, "--yes") == NULL)
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl consensus recover",
                         "this cannot be taken back: look at the plan, then add --yes");
    mn_writer_str(&writer, "{\"plan\":");
    json_write_string(&writer, mn_span_str(plan));
    mn_writer_str(&writer, "}");
    body = mn_writer_done(&writer);
    status = ctl_do(ctl, "POST", "/v1/consensus/recovery", mn_buf_span(body), &root);
    mn_buf_unref(body);
    if (status != CTL_OK) return status;
    return ctl_print_done(ctl, root,
                          "the group has begun anew; other nodes come to it by themselves");
}
