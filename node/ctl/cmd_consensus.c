/* consensus: the metadata group: who votes, who leads, what is missing. */
#include <string.h>

#include "node/ctl/ctl.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct ctl_column status_columns[] = {
    {"NODE", "node", CTL_AS_TEXT, false},
    {"ROLE", "role", CTL_AS_TEXT, false},
    {"WEIGHT", "weight", CTL_AS_TEXT, false},
    {"TERM", "term", CTL_AS_TEXT, false},
    {"COMMIT", "commit", CTL_AS_TEXT, false},
    {"LAG", "lag", CTL_AS_TEXT, false},
    {"LAST-SEEN", "last_seen_ms", CTL_AS_AGE, false},
    {"VERSION", "version", CTL_AS_TEXT, false},
    {"STATUS", "status", CTL_AS_STATE, true},
    {"ID", "id", CTL_AS_ID, true},
};

/* Exit 7 without a quorum, after the table: scripts see it too. */
static int status_once(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, "/v1/consensus", &root);

    if (status != CTL_OK) return status;
    status = ctl_print_list(ctl, root, status_columns, COUNT(status_columns));
    if (status != CTL_OK) return status;
    if (!ctl_wants_json(ctl) && !ctl->is_quiet)
        fprintf(ctl->out, "%s\n", ctl_show(ctl, root, "diagnosis"));
    return ctl_is_true(root, "quorum") ? CTL_OK : CTL_TIMEOUT;
}

int ctl_consensus_status(struct ctl *ctl)
{
    return ctl_watch(ctl, status_once);
}

static int wish(struct ctl *ctl, const char *json, const char *what)
{
    const char *path = ctl_path(ctl, "/v1/consensus/nodes/", ctl->args[0], "");
    const struct json *root;
    int status = ctl_do(ctl, "PUT", path, mn_span_str(json), &root);

    if (status != CTL_OK) return status;
    return ctl_print_done(ctl, root, "%s: %s; the leader makes it so as soon as it is safe",
                          ctl->args[0], what);
}

int ctl_consensus_weights_set(struct ctl *ctl)
{
    uint64_t weight;

    if (!ctl_parse_number(ctl->args[1], 0, 1000, &weight))
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl consensus weights set NODE 2",
                         "%s: a weight from 1 to 1000; 0: what the node says", ctl->args[1]);
    return wish(ctl, mn_arena_format(&ctl->arena, "{\"weight\":%llu}", (unsigned long long)weight),
                "its weight is written down");
}

int ctl_consensus_voters_add(struct ctl *ctl)
{
    return wish(ctl, "{\"role\":\"voter\"}", "preferred as a voter");
}

int ctl_consensus_voters_rm(struct ctl *ctl)
{
    return wish(ctl, "{\"role\":\"learner\"}", "shall not vote");
}

int ctl_consensus_transfer(struct ctl *ctl)
{
    const char *path = ctl_path(ctl, "/v1/consensus/transfer/", ctl->args[0], "");
    const struct json *root;
    int status = ctl_do(ctl, "POST", path, mn_span(NULL, 0), &root);

    if (status != CTL_OK) return status;
    return ctl_print_done(ctl, root, "%s is asked to lead", ctl->args[0]);
}
