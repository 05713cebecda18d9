package emrp.s3;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;

/**
 * Where S3 answers and how it is called: the settings that every AWS SDK reads from the environment.
 *
 * <p>Requests name their credentials but are not signed, so this works with an S3 on this machine only.
 */
final class S3Endpoint {
  private static final int ATTEMPTS = 4;
  private static final Duration FIRST_PAUSE = Duration.ofMillis(100);
  private static final Duration TIMEOUT = Duration.ofSeconds(60);
  private static final HttpClient HTTP =
      HttpClient.newBuilder()
          .version(HttpClient.Version.HTTP_1_1)
          .proxy(HttpClient.Builder.NO_PROXY)
          .connectTimeout(TIMEOUT)
          .build();

  private final String url;
  private final String authorization;
  private final String sessionToken;

  private S3Endpoint(String url, String authorization, String sessionToken) {
    this.url = url;
    this.authorization = authorization;
    this.sessionToken = sessionToken;
  }

  static S3Endpoint fromEnvironment() throws IOException {
    Map<String, String> environment = System.getenv();
    String url = environment.getOrDefault("AWS_ENDPOINT_URL_S3", environment.get("AWS_ENDPOINT_URL"));
    if (url == null) {
      throw new IOException("AWS_ENDPOINT_URL is not set: there is no local S3 to talk to");
    }
    String authorization =
        "AWS4-HMAC-SHA256 Credential=%s/20260101/%s/s3/aws4_request, SignedHeaders=host, Signature=unsigned"
            .formatted(
                environment.getOrDefault("AWS_ACCESS_KEY_ID", "test"),
                environment.getOrDefault("AWS_REGION", "us-east-1"));
    return new S3Endpoint(url.replaceAll("/+$", ""), authorization, environment.get("AWS_SESSION_TOKEN"));
  }

  /** A request for a path, given with its query and already encoded. */
  HttpRequest.Builder request(String path) {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(URI.create(url + path)).header("Authorization", authorization).timeout(TIMEOUT);
    return sessionToken == null ? request : request.header("x-amz-security-token", sessionToken);
  }

  /** Sends a request; again after a pause when it got lost or the service failed, not when it was refused. */
  <T> HttpResponse<T> send(HttpRequest request, HttpResponse.BodyHandler<T> body) throws IOException {
    for (int attempt = 1; ; attempt++) {
      try {
        HttpResponse<T> response = HTTP.send(request, body);
        if (response.statusCode() < 500 || attempt == ATTEMPTS) {
          return response;
        }
      } catch (InterruptedException e) {
        throw interrupted();
      } catch (IOException e) {
        if (attempt == ATTEMPTS) {
          throw new IOException(request.method() + " " + request.uri() + ": " + e, e);
        }
      }
      pause(FIRST_PAUSE.multipliedBy(1L << (attempt - 1)));
    }
  }

  /** Encodes a key for a path, or a value for a query. */
  static String encode(String text) {
    return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
  }

  private static void pause(Duration duration) throws IOException {
    try {
      Thread.sleep(duration.toMillis());
    } catch (InterruptedException e) {
      throw interrupted();
    }
  }

  private static IOException interrupted() {
    Thread.currentThread().interrupt();
    return new InterruptedIOException("interrupted while waiting for S3");
  }
}
