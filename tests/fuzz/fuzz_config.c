/* Configuration files: any bytes are read or refused with one line that names a line. */
#include <stdlib.h>
#include <string.h>

#include "node/io/config.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct options options;
    struct options_error error = {.text = ""};
    unsetenv("HOME"); /* what ${env:} may bring must not depend on who runs this */
    options_init(&options, config_specs, CONFIG_COUNT);
    config_set_defaults(&options);
    mn_status status = config_parse(&options, "f", mn_span(data, size), &error);
    if (status == MN_OK) {
        config_settle(&options);
        status = config_check(&options, &error);
    } else {
        MN_ASSERT(strncmp(error.text, "f:", 2) == 0);
    }
    MN_ASSERT(status == MN_OK || (status == MN_CONFIG && error.text[0] != '\0'));
    options_done(&options);
    return 0;
}
