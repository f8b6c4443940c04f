/* TLS 1.3 for lanes. Handshakes never wait: they go on with whatever bytes have come. A certificate
 * can be exchanged while the port serves; connections keep the one that they began with. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "invariant.h"
#include "lane_internal.h"

#define IDENTITY_PREFIX "checklane:store/"
#define TILL_PART "/till/"

static int choose_protocol(SSL *tls, const unsigned char **out, unsigned char *out_size,
                           const unsigned char *in, unsigned in_size, void *context)
{
    (void)tls;
    (void)context;
    for (unsigned at = 0; at + 1 < in_size; at += in[at] + 1u) {
        if (in[at] != 2 || at + 2 >= in_size || memcmp(in + at + 1, "h2", 2) != 0) continue;
        *out = in + at + 1;
        *out_size = 2;
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *make_context(const lane_t *lane, const char **at_fault)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    *at_fault = "TLS";
    if (context == NULL) return NULL;
    bool is_made = SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1;
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
                                  | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    *at_fault = lane->tls_certificate;
    is_made = is_made && SSL_CTX_use_certificate_chain_file(context, lane->tls_certificate) == 1;
    if (is_made) *at_fault = lane->tls_key;
    is_made = is_made && SSL_CTX_use_PrivateKey_file(context, lane->tls_key, SSL_FILETYPE_PEM) == 1
              && SSL_CTX_check_private_key(context) == 1;
    if (is_made && lane->tls_client_ca != NULL) {
        *at_fault = lane->tls_client_ca;
        is_made = SSL_CTX_load_verify_locations(context, lane->tls_client_ca, NULL) == 1;
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        /* A ticket would let a lane in whose certificate was revoked or exchanged meanwhile. */
        SSL_CTX_set_num_tickets(context, 0);
    }
    ERR_clear_error();
    if (is_made) return context;
    SSL_CTX_free(context);
    return NULL;
}

status_t lane_tls_load(lane_t *lane, fault_t *fault)
{
    const char *at_fault;
    if (lane->tls_certificate == NULL) return STATUS_OK;
    SSL_CTX *context = make_context(lane, &at_fault);
    if (context == NULL) return fault_at(fault, STATUS_FIELD_OUT_OF_RANGE, "%s", at_fault);
    pthread_mutex_lock(&lane->tls_mutex);
    SSL_CTX *old = lane->tls_context;
    lane->tls_context = context;
    pthread_mutex_unlock(&lane->tls_mutex);
    SSL_CTX_free(old);
    return STATUS_OK;
}

void lane_tls_free(lane_t *lane)
{
    SSL_CTX_free(lane->tls_context);
    lane->tls_context = NULL;
}

bool lane_tls_begin(lane_connection_t *connection)
{
    lane_t *lane = connection->thread->lane;
    /* Held for some allocations, by a reload for an exchange of pointers: nobody waits long. */
    pthread_mutex_lock(&lane->tls_mutex);
    connection->tls = SSL_new(lane->tls_context);
    pthread_mutex_unlock(&lane->tls_mutex);
    if (connection->tls == NULL) return false;
    SSL_set_accept_state(connection->tls);
    connection->is_shaking = true;
    return SSL_set_fd(connection->tls, connection->socket) == 1;
}

void lane_tls_end(lane_connection_t *connection)
{
    if (connection->tls == NULL) return;
    ERR_clear_error();
    if (!connection->is_shaking && connection->end != LANE_END_TLS) SSL_shutdown(connection->tls);
    SSL_free(connection->tls);
    ERR_clear_error();
}

/* Returns how many bytes the id has; 0: none, or too many. */
static uint32_t copy_id(char *to, const char *from, size_t size)
{
    if (size > ID_BYTES_MAX) return 0;
    memcpy(to, from, size);
    return (uint32_t)size;
}

/* "checklane:store/S001" or "checklane:store/S001/till/4". False: it is neither. */
static bool read_identity(lane_connection_t *connection, const char *text, size_t size)
{
    size_t prefix = sizeof IDENTITY_PREFIX - 1;
    if (size <= prefix || memcmp(text, IDENTITY_PREFIX, prefix) != 0) return false;
    text += prefix;
    size -= prefix;
    const char *till = memmem(text, size, TILL_PART, sizeof TILL_PART - 1);
    size_t store_size = till == NULL ? size : (size_t)(till - text);
    connection->store_id_bytes = copy_id(connection->store_id, text, store_size);
    if (till == NULL) return connection->store_id_bytes > 0;
    till += sizeof TILL_PART - 1;
    connection->till_id_bytes = copy_id(connection->till_id, till, size - (size_t)(till - text));
    return connection->store_id_bytes > 0 && connection->till_id_bytes > 0;
}

/* Who the lane is, from the first name of our kind in its certificate. False: such a name is there
 * and cannot be read. A certificate without one may speak for any store. */
static bool take_identity(lane_connection_t *connection)
{
    X509 *certificate = SSL_get0_peer_certificate(connection->tls);
    if (certificate == NULL) return true;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool is_right = true;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI) continue;
        const char *text = (const char *)ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
        size_t size = (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier);
        if (size < 10 || memcmp(text, "checklane:", 10) != 0) continue;
        is_right = read_identity(connection, text, size);
        break;
    }
    GENERAL_NAMES_free(names);
    return is_right;
}

static bool is_agreed(lane_connection_t *connection)
{
    const unsigned char *protocol;
    unsigned size;
    SSL_get0_alpn_selected(connection->tls, &protocol, &size);
    return size == 2 && memcmp(protocol, "h2", 2) == 0 && take_identity(connection);
}

/* What became of an operation that did not go through. */
static void note_failure(lane_connection_t *connection, int result)
{
    int error = SSL_get_error(connection->tls, result);
    connection->wants_write = error == SSL_ERROR_WANT_WRITE;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return;
    bool is_peer = error == SSL_ERROR_ZERO_RETURN
                   || (error == SSL_ERROR_SYSCALL && !connection->is_shaking);
    lane_connection_end(connection, is_peer ? LANE_END_PEER : LANE_END_TLS);
}

bool lane_tls_shake(lane_connection_t *connection)
{
    ERR_clear_error();
    int result = SSL_do_handshake(connection->tls);
    if (result != 1) {
        note_failure(connection, result);
        return false;
    }
    connection->is_shaking = false;
    connection->wants_write = false;
    if (is_agreed(connection)) return true;
    lane_connection_end(connection, LANE_END_TLS);
    return false;
}

size_t lane_tls_read(lane_connection_t *connection, uint8_t *bytes, size_t room)
{
    size_t size = 0;
    while (size < room) {
        size_t step = 0;
        ERR_clear_error();
        int result = SSL_read_ex(connection->tls, bytes + size, room - size, &step);
        if (result != 1) {
            note_failure(connection, result);
            break;
        }
        size += step;
    }
    return size;
}

size_t lane_tls_write(lane_connection_t *connection, const uint8_t *bytes, size_t size)
{
    size_t written = 0;
    while (written < size) {
        size_t step = 0;
        ERR_clear_error();
        int result = SSL_write_ex(connection->tls, bytes + written, size - written, &step);
        if (result != 1) {
            note_failure(connection, result);
            break;
        }
        written += step;
    }
    return written;
}
