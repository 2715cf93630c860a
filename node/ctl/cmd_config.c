/* config: what a node was configured with. */
#include "node/ctl/ctl.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct ctl_column setting_columns[] = {
    {"KEY", "key", CTL_AS_TEXT, false},
    {"VALUE", "value", CTL_AS_TEXT, false},
    {"ORIGIN", "origin", CTL_AS_TEXT, false},
};

int ctl_config_show(struct ctl *ctl)
{
    const struct json *root;
    size_t columns = COUNT(setting_columns) - (ctl_value(ctl, "--origin") == NULL ? 1 : 0);
    int status = ctl_get(ctl, "/v1/config", &root);

    return status == CTL_OK ? ctl_print_list(ctl, root, setting_columns, columns) : status;
}
