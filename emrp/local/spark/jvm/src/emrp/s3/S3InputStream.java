package emrp.s3;

import java.io.EOFException;
import java.io.IOException;
import org.apache.hadoop.fs.FSInputStream;
import org.apache.hadoop.fs.FileSystem;

/** Reads an object block by block, from wherever the reader seeks to. */
final class S3InputStream extends FSInputStream {
  private static final int BLOCK_SIZE = 4 << 20;

  private final S3Client client;
  private final String key;
  private final long length;
  private final FileSystem.Statistics statistics;
  private long position;
  private long blockStart;
  private byte[] block = new byte[0];

  S3InputStream(S3Client client, S3Object object, FileSystem.Statistics statistics) {
    this.client = client;
    this.key = object.key();
    this.length = object.size();
    this.statistics = statistics;
  }

  @Override
  public synchronized int read() throws IOException {
    byte[] one = new byte[1];
    return read(one, 0, 1) < 0 ? -1 : one[0] & 0xFF;
  }

  @Override
  public synchronized int read(byte[] buffer, int offset, int count) throws IOException {
    if (count == 0) {
      return 0;
    }
    if (position >= length) {
      return -1;
    }
    fetchBlock();
    int skipped = (int) (position - blockStart);
    int copied = Math.min(count, block.length - skipped);
    System.arraycopy(block, skipped, buffer, offset, copied);
    position += copied;
    statistics.incrementBytesRead(copied);
    return copied;
  }

  @Override
  public synchronized void seek(long target) throws IOException {
    if (target < 0 || target > length) {
      throw new EOFException("Cannot seek to " + target + " in " + length + " bytes of " + key);
    }
    position = target;
  }

  @Override
  public synchronized long getPos() {
    return position;
  }

  @Override
  public boolean seekToNewSource(long target) {
    return false; // there is one S3
  }

  @Override
  public synchronized int available() {
    return (int) Math.min(Integer.MAX_VALUE, length - position);
  }

  private void fetchBlock() throws IOException {
    if (position >= blockStart && position < blockStart + block.length) {
      return;
    }
    block = client.read(key, position, Math.min(length, position + BLOCK_SIZE) - 1);
    blockStart = position;
    if (block.length == 0) {
      throw new EOFException(key + " ended at " + position + " of " + length + " bytes");
    }
  }
}
