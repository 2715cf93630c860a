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

/* Exit 6 when one differs, 8 when one has not answered. */
int ctl_consensus_verify(struct ctl *ctl)
{
    const struct json *root, *items;
    bool is_whole = true;
    int status = ctl_do(ctl, "POST", "/v1/consensus/verify", mn_span_str("{}"), &root);

    if (status == CTL_OK)
        status = ctl_print_list(ctl, root, replica_columns, COUNT(replica_columns));
    if (status != CTL_OK) return status;
    items = json_find_str(root, "items");
    for (const struct json *item = json_first(items); item != NULL; item = json_next(items, item))
        if (ctl_string(item, "replica").data[0] == 'n') is_whole = false;
    if (!ctl_wants_json(ctl) && !ctl->is_quiet)
        fprintf(ctl->out, "%s, as of revision %.0f\n",
                ctl_is_true(root, "equal") ? "those that answered are equal"
                                           : "one differs: stop it, wipe its log/, start it",
                ctl_number(root, "rev"));
    if (!ctl_is_true(root, "equal")) return CTL_CONFLICT;
    return is_whole ? CTL_OK : CTL_PARTIAL;
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
