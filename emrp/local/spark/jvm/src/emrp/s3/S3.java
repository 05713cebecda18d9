package emrp.s3;

import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.DelegateToFileSystem;

/** {@link S3FileSystem} for callers of Hadoop's FileContext, such as the checkpoints of Spark streaming. */
public final class S3 extends DelegateToFileSystem {
  public S3(URI uri, Configuration conf) throws IOException, URISyntaxException {
    super(uri, new S3FileSystem(), conf, uri.getScheme(), false);
  }

  @Override
  public int getUriDefaultPort() {
    return -1; // a bucket has no port
  }
}
