/* Templates that servers list, and URIs that clients ask for: matching ends, and what is said of a
 * match is possible. The input: the template, a line feed, the URI. */
#include <stdlib.h>
#include <string.h>

#include "node/mcp/wire/uritemplate.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *feed = size == 0 ? NULL : memchr(data, '\n', size);
    size_t at = feed == NULL ? size : (size_t)(feed - data);
    size_t rest = feed == NULL ? 0 : size - at - 1;
    uint8_t *template = malloc(at + 1), *uri = malloc(rest + 1); /* as large as they are */
    uint32_t literals = 0;
    size_t any = SIZE_MAX;

    if (at > 0) memcpy(template, data, at);
    if (rest > 0) memcpy(uri, feed + 1, rest);
    if (uritemplate_match(mn_span(template, at), mn_span(uri, rest), &literals, &any)) {
        MN_ASSERT(literals <= at && literals <= rest);
        MN_ASSERT(rest <= URITEMPLATE_URI_MAX);
    }
    if (memchr(template, '{', at) == NULL &&
        uritemplate_match(mn_span(template, at), mn_span(template, at), &literals, &any))
        MN_ASSERT(literals == at);
    free(template);
    free(uri);
    return 0;
}
