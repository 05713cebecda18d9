package emrp.s3;

import java.io.BufferedOutputStream;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Collects an object in a local file and writes it to S3 when it is closed: S3 knows only whole objects. */
final class S3OutputStream extends FilterOutputStream {
  private final S3Client client;
  private final String key;
  private final Path file;
  private boolean closed;

  S3OutputStream(S3Client client, String key) throws IOException {
    this(client, key, ScratchDirectory.newFile());
  }

  private S3OutputStream(S3Client client, String key, Path file) throws IOException {
    super(new BufferedOutputStream(Files.newOutputStream(file)));
    this.client = client;
    this.key = key;
    this.file = file;
  }

  @Override
  public void write(byte[] buffer, int offset, int count) throws IOException {
    out.write(buffer, offset, count); // FilterOutputStream would write byte by byte
  }

  @Override
  public void close() throws IOException {
    if (closed) {
      return;
    }
    closed = true;
    try {
      super.close();
      client.upload(key, file);
    } finally {
      Files.deleteIfExists(file);
    }
  }
}
