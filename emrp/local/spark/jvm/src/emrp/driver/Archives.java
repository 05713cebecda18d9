package emrp.driver;

import emrp.s3.S3FileSystem;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.spark.util.Utils;

/**
 * Unpacks the archives of a job into the working directory, as the workers of EMR Serverless do.
 *
 * <p>Spark itself does so on a cluster only, and too late: the Python that the job runs with may be in one.
 */
final class Archives {
  private Archives() {}

  /** Unpacks a comma-separated list of {@code uri#folder}, where the folder may be missing. */
  static void unpack(String archives) throws IOException {
    Configuration conf = new Configuration();
    for (String scheme : new String[] {"s3", "s3a", "s3n"}) {
      conf.set("fs." + scheme + ".impl", S3FileSystem.class.getName());
    }
    for (String archive : archives.split(",")) {
      String[] parts = archive.strip().split("#", 2);
      if (!parts[0].isEmpty()) {
        Path source = new Path(parts[0]);
        unpack(source.getFileSystem(conf), source, new File(parts.length > 1 ? parts[1] : source.getName()));
      }
    }
  }

  private static void unpack(FileSystem files, Path source, File folder) throws IOException {
    java.nio.file.Path download = Files.createTempDirectory("archive");
    File copy = download.resolve(source.getName()).toFile();
    files.copyToLocalFile(false, source, new Path(copy.toURI()), true);
    Utils.unpack(copy, folder.getAbsoluteFile());
    Files.delete(copy.toPath());
    Files.delete(download);
  }
}
