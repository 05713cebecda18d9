package emrp.s3;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.apache.hadoop.security.AccessControlException;
import org.w3c.dom.Element;

/** The operations of S3 that a file system needs, on one bucket. */
final class S3Client {
  private static final int NOT_FOUND = 404;
  private static final int FORBIDDEN = 403;
  private static final int PART_SIZE = 64 << 20;

  private final S3Endpoint endpoint;
  private final String bucket;

  S3Client(S3Endpoint endpoint, String bucket) {
    this.endpoint = endpoint;
    this.bucket = bucket;
  }

  /** Describes an object; empty when there is none, and also when there is no such bucket. */
  Optional<S3Object> head(String key) throws IOException {
    HttpRequest request = request(key, "").method("HEAD", BodyPublishers.noBody()).build();
    HttpResponse<Void> response = endpoint.send(request, BodyHandlers.discarding());
    if (response.statusCode() == NOT_FOUND) {
      return Optional.empty();
    }
    if (response.statusCode() >= 300) {
      throw failure("HEAD", key, response.statusCode(), "");
    }
    long modified =
        response
            .headers()
            .firstValue("last-modified")
            .map(text -> ZonedDateTime.parse(text, DateTimeFormatter.RFC_1123_DATE_TIME).toInstant().toEpochMilli())
            .orElse(0L);
    return Optional.of(new S3Object(key, response.headers().firstValueAsLong("content-length").orElse(0), modified));
  }

  /** Lists every object below a prefix, however deep. */
  List<S3Object> listAll(String prefix) throws IOException {
    return list(prefix, "", Integer.MAX_VALUE).objects();
  }

  /** Lists what lies directly below a prefix that is empty or ends with a slash. */
  S3Listing listDirectory(String prefix) throws IOException {
    return list(prefix, "&delimiter=%2F", Integer.MAX_VALUE);
  }

  /** Tells whether any key begins with a prefix. */
  boolean exists(String prefix) throws IOException {
    return !list(prefix, "&max-keys=1", 1).isEmpty();
  }

  /** Reads the bytes of an object from one position to another, both included. */
  byte[] read(String key, long first, long last) throws IOException {
    HttpRequest request = request(key, "").header("Range", "bytes=" + first + "-" + last).GET().build();
    HttpResponse<byte[]> response = endpoint.send(request, BodyHandlers.ofByteArray());
    if (response.statusCode() >= 300) {
      throw failure("GET", key, response.statusCode(), new String(response.body(), StandardCharsets.UTF_8));
    }
    return response.body();
  }

  /** Writes a file as an object, in parts when it is large. */
  void upload(String key, Path file) throws IOException {
    if (Files.size(file) <= PART_SIZE) {
      call("PUT", key, "", BodyPublishers.ofFile(file));
    } else {
      uploadInParts(key, file);
    }
  }

  void copy(String from, String to) throws IOException {
    HttpRequest.Builder request = request(to, "").header("x-amz-copy-source", path(from));
    call(request.PUT(BodyPublishers.noBody()).build(), to);
  }

  void delete(String key) throws IOException {
    call("DELETE", key, "", BodyPublishers.noBody());
  }

  private S3Listing list(String prefix, String options, int maximum) throws IOException {
    List<S3Object> objects = new ArrayList<>();
    List<String> prefixes = new ArrayList<>();
    String more = "";
    do {
      String query = "?list-type=2&prefix=" + S3Endpoint.encode(prefix) + options + more;
      Element page = S3Xml.parse(call("GET", "", query, BodyPublishers.noBody()).body());
      for (Element object : S3Xml.children(page, "Contents")) {
        objects.add(
            new S3Object(
                S3Xml.text(object, "Key"),
                Long.parseLong(S3Xml.text(object, "Size")),
                Instant.parse(S3Xml.text(object, "LastModified")).toEpochMilli()));
      }
      for (Element group : S3Xml.children(page, "CommonPrefixes")) {
        prefixes.add(S3Xml.text(group, "Prefix"));
      }
      String token = S3Xml.text(page, "NextContinuationToken");
      more = token.isEmpty() ? "" : "&continuation-token=" + S3Endpoint.encode(token);
    } while (!more.isEmpty() && objects.size() + prefixes.size() < maximum);
    return new S3Listing(objects, prefixes);
  }

  private void uploadInParts(String key, Path file) throws IOException {
    String started = call("POST", key, "?uploads", BodyPublishers.noBody()).body();
    String uploadId = "uploadId=" + S3Endpoint.encode(S3Xml.text(S3Xml.parse(started), "UploadId"));
    try (RandomAccessFile content = new RandomAccessFile(file.toFile(), "r")) {
      StringBuilder parts = new StringBuilder("<CompleteMultipartUpload>");
      for (int number = 1; content.getFilePointer() < content.length(); number++) {
        byte[] part = new byte[(int) Math.min(PART_SIZE, content.length() - content.getFilePointer())];
        content.readFully(part);
        String query = "?partNumber=" + number + "&" + uploadId;
        HttpResponse<String> uploaded = call("PUT", key, query, BodyPublishers.ofByteArray(part));
        String etag = uploaded.headers().firstValue("etag").orElse("");
        parts.append("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>".formatted(number, etag));
      }
      parts.append("</CompleteMultipartUpload>");
      call("POST", key, "?" + uploadId, BodyPublishers.ofString(parts.toString()));
    } catch (IOException e) {
      abort(key, uploadId, e);
      throw e;
    }
  }

  private void abort(String key, String uploadId, IOException cause) {
    try {
      call("DELETE", key, "?" + uploadId, BodyPublishers.noBody());
    } catch (IOException e) {
      cause.addSuppressed(e);
    }
  }

  private String path(String key) {
    return "/" + bucket + (key.isEmpty() ? "" : "/" + S3Endpoint.encode(key).replace("%2F", "/"));
  }

  private HttpRequest.Builder request(String key, String query) {
    return endpoint.request(path(key) + query);
  }

  private HttpResponse<String> call(String method, String key, String query, BodyPublisher body) throws IOException {
    return call(request(key, query).method(method, body).build(), key);
  }

  private HttpResponse<String> call(HttpRequest request, String key) throws IOException {
    HttpResponse<String> response = endpoint.send(request, BodyHandlers.ofString());
    boolean failedLate = response.body().contains("<Error>"); // of a copy or of completing an upload, after its 200
    if (response.statusCode() >= 300 || failedLate) {
      throw failure(request.method(), key, response.statusCode(), response.body());
    }
    return response;
  }

  private IOException failure(String method, String key, int status, String body) {
    String object = "s3://" + bucket + "/" + key;
    if (status == NOT_FOUND && body.contains("<Code>NoSuchBucket</Code>")) {
      return new IOException("The specified bucket does not exist: s3://" + bucket);
    }
    if (status == NOT_FOUND) {
      return new FileNotFoundException("No such object: " + object);
    }
    String message = method + " " + object + ": HTTP " + status + " " + body;
    return status == FORBIDDEN ? new AccessControlException(message) : new IOException(message);
  }
}
