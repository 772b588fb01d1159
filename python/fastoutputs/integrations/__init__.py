"""What meets other libraries, one file each; nothing here is loaded before the library it is for."""
