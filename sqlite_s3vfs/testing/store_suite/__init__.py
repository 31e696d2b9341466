"""What every object store has to do, as tests to subclass.

    class TestMyStore(ObjectStoreSuite):
        @pytest.fixture
        def store(self): ...        # the ObjectStore under test; its objects may be shared with others

        @pytest.fixture
        def around(self, store): ...  # the same objects, read and written by other means

All keys begin with the fixture ``prefix``, which is different for every test, and nothing outside it is
looked at: so a bucket can be shared. One test writes 1 005 objects and is marked ``slow``.
``NestedKeysSuite`` is for stores that list keys below other keys, which S3 does and MinIO does not.
"""

from sqlite_s3vfs.testing.store_suite.conditions import ConditionTests
from sqlite_s3vfs.testing.store_suite.deleting import DeleteTests
from sqlite_s3vfs.testing.store_suite.keys import KeyTests, NestedKeysSuite
from sqlite_s3vfs.testing.store_suite.listing import ListTests
from sqlite_s3vfs.testing.store_suite.reading import ReadTests
from sqlite_s3vfs.testing.store_suite.sharing import SharingTests
from sqlite_s3vfs.testing.store_suite.surroundings import Around

__all__ = ["Around", "NestedKeysSuite", "ObjectStoreSuite"]


class ObjectStoreSuite(ReadTests, ConditionTests, KeyTests, ListTests, DeleteTests, SharingTests):
    """Subclass it, and give it ``store`` and ``around``."""
