#include "proto/base/status.h"

const char *mn_status_name(mn_status status)
{
    switch (status) {
#define X(name, value, text) \
    case MN_##name: return #name;
        MN_STATUS_LIST(X)
#undef X
    }
    return "unknown status";
}

const char *mn_status_text(mn_status status)
{
    switch (status) {
#define X(name, value, text) \
    case MN_##name: return text;
        MN_STATUS_LIST(X)
#undef X
    }
    return "unknown status";
}
